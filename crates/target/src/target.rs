//! One target at run time: its logical units, its I_T nexuses and their sessions.

use crate::config::TargetConfig;
use crate::error::{ConfigError, LunError};
use crate::lun::Lun;
use crate::sync::{lock, read, write};
use longshore_iscsi::chap::ChapCredentials;
use longshore_iscsi::isid::Isid;
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::pdu::Tsih;
use longshore_scsi::Lun as LunBytes;
use longshore_scsi::sense::Asc;
use longshore_scsi::unit::NexusId;
use std::collections::{BTreeMap, HashMap};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

/// So many nexuses are remembered. One that was forgotten is told 29/00 when it comes back.
const MAX_NEXUSES: usize = 4096;

/// A target.
pub(crate) struct Target {
    pub(crate) name: IscsiName,
    pub(crate) alias: Option<String>,
    pub(crate) chap: Vec<(Option<IscsiName>, ChapCredentials)>,
    pub(crate) mutual: Option<ChapCredentials>,
    pub(crate) initiators: Vec<IscsiName>,
    pub(crate) luns: RwLock<BTreeMap<u16, Arc<Lun>>>,
    nexuses: Mutex<Nexuses>,
}

/// InitiatorName and ISID; target and portal group are the same for all (RFC 7143 4.4.3).
pub(crate) type NexusKey = (IscsiName, Isid);

#[derive(Default)]
struct Nexuses {
    known: HashMap<NexusKey, Nexus>,
    last_id: u64,
}

struct Nexus {
    id: NexusId,
    session: Option<Arc<Session>>,
}

/// A session with its one connection.
pub(crate) struct Session {
    pub(crate) key: NexusKey,
    pub(crate) nexus: NexusId,
    pub(crate) peer: SocketAddr,
    pub(crate) tsih: Tsih,
    stream: Arc<TcpStream>,
    closed: AtomicBool,
    /// I/Os under way.
    io: AtomicUsize,
}

/// While this lives, the session that began an I/O is not replaced by another one.
pub(crate) struct IoPermit<'a>(&'a Session);

impl Drop for IoPermit<'_> {
    fn drop(&mut self) {
        self.0.io.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Session {
    /// `None`: the session is over, and no I/O of its may begin.
    pub(crate) fn begin_io(&self) -> Option<IoPermit<'_>> {
        self.io.fetch_add(1, Ordering::SeqCst);
        let permit = IoPermit(self);
        (!self.closed.load(Ordering::SeqCst)).then_some(permit)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends the session: its connection is shut down, and no I/O begins any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = self.stream.shutdown(Shutdown::Both); // fails only if the peer was faster
    }

    /// Waits until no I/O is under way. `false`: one still is at the deadline.
    fn drained(&self, deadline: Instant) -> bool {
        while self.io.load(Ordering::SeqCst) > 0 {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Target {
    pub(crate) fn new(config: &TargetConfig) -> Result<Self, ConfigError> {
        let account =
            |chap: &crate::config::ChapConfig| ChapCredentials::new(chap.name.clone(), chap.secret.clone());
        let mutual = config.mutual_chap.as_ref().map(account).transpose()?;
        let mut chap = Vec::new();
        for entry in &config.chap {
            let credentials = account(entry)?;
            if let Some(mutual) = &mutual {
                credentials.differ_from(mutual)?;
            }
            let initiator = entry.initiator.as_deref().map(str::parse).transpose()?;
            chap.push((initiator, credentials));
        }
        Ok(Self {
            name: config.name.parse()?,
            alias: config.alias.clone(),
            chap,
            mutual,
            initiators: config
                .initiators
                .iter()
                .map(|name| name.parse())
                .collect::<Result<_, _>>()?,
            luns: RwLock::default(),
            nexuses: Mutex::default(),
        })
    }

    /// Whether the access list lets this initiator in.
    pub(crate) fn admits(&self, initiator: &IscsiName) -> bool {
        self.initiators.is_empty() || self.initiators.contains(initiator)
    }

    /// What REPORT LUNS returns.
    pub(crate) fn lun_list(&self) -> Vec<LunBytes> {
        read(&self.luns)
            .keys()
            .filter_map(|&number| LunBytes::from_number(number))
            .collect()
    }

    pub(crate) fn lun(&self, number: u16) -> Option<Arc<Lun>> {
        read(&self.luns).get(&number).cloned()
    }

    /// Makes the session of a login. A former one of the same nexus is ended first, with all its I/O (RFC 7143
    /// 6.3.5): `None` if that takes longer than `deadline`.
    pub(crate) fn enter(
        &self,
        key: NexusKey,
        tsih: Tsih,
        stream: Arc<TcpStream>,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Option<Arc<Session>> {
        let mut nexuses = lock(&self.nexuses);
        let known = nexuses
            .known
            .get(&key)
            .map(|nexus| (nexus.id, nexus.session.clone()));
        let (nexus, first_time) = match known {
            Some((id, former)) => {
                if let Some(former) = former {
                    former.close();
                    if !former.drained(deadline) {
                        return None;
                    }
                    self.each_unit(|unit| unit.nexus_lost(id));
                }
                (id, false)
            }
            None => {
                self.forget_one(&mut nexuses);
                nexuses.last_id += 1;
                (NexusId(nexuses.last_id), true)
            }
        };
        let port = port_name(&key);
        self.each_unit(|unit| unit.attach(nexus, &port, first_time.then_some(Asc::POWER_ON_OR_RESET)));
        let session = Arc::new(Session {
            key: key.clone(),
            nexus,
            peer,
            tsih,
            stream,
            closed: AtomicBool::new(false),
            io: AtomicUsize::new(0),
        });
        nexuses.known.insert(
            key,
            Nexus {
                id: nexus,
                session: Some(Arc::clone(&session)),
            },
        );
        Some(session)
    }

    /// Makes room for another nexus: one without session and reservation goes.
    fn forget_one(&self, nexuses: &mut Nexuses) {
        if nexuses.known.len() < MAX_NEXUSES {
            return;
        }
        let registered = |id| {
            read(&self.luns)
                .values()
                .any(|lun| lock(&lun.unit).is_registered(id))
        };
        let idle = nexuses
            .known
            .iter()
            .find(|(_, nexus)| nexus.session.is_none() && !registered(nexus.id));
        if let Some((key, id)) = idle.map(|(key, nexus)| (key.clone(), nexus.id)) {
            nexuses.known.remove(&key);
            self.each_unit(|unit| unit.detach(id));
        }
    }

    /// The session's connection has ended; `logged_out` tells whether as it should.
    pub(crate) fn leave(&self, session: &Arc<Session>, logged_out: bool) {
        session.close();
        let mut nexuses = lock(&self.nexuses);
        let Some(nexus) = nexuses.known.get_mut(&session.key) else {
            return;
        };
        if !nexus
            .session
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            return; // it was reinstated, and its end was dealt with
        }
        nexus.session = None;
        let id = nexus.id;
        self.each_unit(|unit| {
            if logged_out {
                unit.logged_out(id)
            } else {
                unit.nexus_lost(id)
            }
        });
    }

    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        lock(&self.nexuses)
            .known
            .values()
            .filter_map(|nexus| nexus.session.clone())
            .collect()
    }

    pub(crate) fn each_unit(&self, mut act: impl FnMut(&mut longshore_scsi::unit::LogicalUnit)) {
        read(&self.luns)
            .values()
            .for_each(|lun| act(&mut lock(&lun.unit)));
    }

    /// Puts a logical unit into the map and tells every nexus that the list has changed.
    pub(crate) fn put(&self, lun: Lun) {
        let nexuses = lock(&self.nexuses);
        {
            let mut unit = lock(&lun.unit);
            for (key, nexus) in nexuses.known.iter().filter(|(_, nexus)| nexus.session.is_some()) {
                unit.attach(nexus.id, &port_name(key), None);
            }
        }
        write(&self.luns).insert(lun.number, Arc::new(lun));
        self.each_unit(|unit| unit.raise(Asc::REPORTED_LUNS_DATA_HAS_CHANGED, None));
    }

    /// Takes a logical unit away; gives it when no I/O of it is under way any more.
    pub(crate) fn take(&self, number: u16) -> Result<Arc<Lun>, LunError> {
        let lun = write(&self.luns)
            .remove(&number)
            .ok_or(LunError::Missing(number))?;
        lun.retire();
        self.each_unit(|unit| unit.raise(Asc::REPORTED_LUNS_DATA_HAS_CHANGED, None));
        Ok(lun)
    }
}

/// The initiator port's name (RFC 7143 4.4.1).
fn port_name((initiator, isid): &NexusKey) -> String {
    let isid: String = isid.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{},i,0x{isid}", initiator.normalized())
}
