//! `Pair`: both machines, the link between them, a disk behind the target, and a clock that jumps.

use crate::disk::{BLOCK_LEN, Disk, READ_10, WRITE_10, cdb};
use crate::link::{Flow, Link};
use crate::setup::Setup;
use bytes::Bytes;
use longshore_iscsi::initiator::{self, Completion, Event, ScsiTask, TaskData, TaskError};
use longshore_iscsi::login::{
    InitiatorLogin, InitiatorStep, LoginError, SessionParameters, TargetLogin, TargetStep,
};
use longshore_iscsi::pdu::{
    InitiatorTaskTag, LoginRequest, LoginResponse, LunField, Pdu, TaskAttribute, Tsih,
};
use longshore_iscsi::target::{self, TargetConnection};
use std::time::{Duration, Instant};

/// Far more steps than any test needs: whoever gets here goes round in circles.
const MAX_STEPS: usize = 200_000;
const DISK_BLOCKS: usize = 2000;

/// How a login failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Login(LoginError),
    Redirect(String),
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) link: Link,
    pub(crate) initiator: initiator::Connection,
    pub(crate) target: TargetConnection,
    pub(crate) disk: Disk,
    /// Why a side gave the connection up.
    pub(crate) initiator_error: Option<initiator::ConnectionError>,
    pub(crate) target_error: Option<target::ConnectionError>,
    /// What the initiator's machine told and no test has taken yet.
    pub(crate) events: Vec<Event>,
}

/// Logs in. Both sides must agree on what was negotiated.
pub(crate) fn connect(setup: &Setup) -> Result<Pair, Failure> {
    let mut now = Instant::now();
    let mut link = Link::new(setup.latency);
    let mut login = InitiatorLogin::new(setup.initiator_config(), [1; 32]).map_err(Failure::Login)?;
    let mut target_login = TargetLogin::new(setup.target_config());
    let mut target_session = None;
    link.send(now, Flow::ToTarget, login.start().into_raw());
    let session = loop {
        let request =
            LoginRequest::parse(arrival(&mut link, &mut now, Flow::ToTarget)).expect("a login request");
        let cid = request.cid;
        let response = match target_login.handle(request, setup) {
            Ok(TargetStep::Send(response)) => response,
            Ok(TargetStep::Ready(ready)) => {
                let (response, session) = ready.accept(Tsih(1));
                target_session = Some((session, cid));
                response
            }
            Err(refusal) => refusal.response,
        };
        link.send(now, Flow::ToInitiator, response.into_raw());
        let response =
            LoginResponse::parse(arrival(&mut link, &mut now, Flow::ToInitiator)).expect("a login response");
        match login.handle(response).map_err(Failure::Login)? {
            InitiatorStep::Send(request) => link.send(now, Flow::ToTarget, request.into_raw()),
            InitiatorStep::Done(session) => break session,
            InitiatorStep::Redirect { address, .. } => return Err(Failure::Redirect(address)),
        }
    };
    let (target_session, cid) = target_session.expect("the target let the initiator in");
    assert_agreement(&session, &target_session);
    link.start_full_feature(
        session.digests,
        session.max_recv_data_segment_length,
        target_session.max_recv_data_segment_length,
    );
    Ok(Pair {
        now,
        link,
        initiator: initiator::Connection::new(now, session, setup.settings),
        target: TargetConnection::new(target_session, cid, setup.limits, now),
        disk: Disk::new(DISK_BLOCKS),
        initiator_error: None,
        target_error: None,
        events: Vec::new(),
    })
}

/// The next PDU of a login, whose turn it is.
fn arrival(link: &mut Link, now: &mut Instant, flow: Flow) -> longshore_iscsi::pdu::RawPdu {
    *now = link.next_arrival().expect("somebody has sent something");
    link.receive(*now, flow)
        .expect("it goes this way")
        .expect("it is sound")
}

fn assert_agreement(initiator: &SessionParameters, target: &SessionParameters) {
    assert_eq!(
        initiator.max_recv_data_segment_length,
        target.max_send_data_segment_length
    );
    assert_eq!(
        initiator.max_send_data_segment_length,
        target.max_recv_data_segment_length
    );
    let mut mirrored = target.clone();
    mirrored.parameters.max_recv_data_segment_length = initiator.max_recv_data_segment_length;
    mirrored.parameters.max_send_data_segment_length = initiator.max_send_data_segment_length;
    assert_eq!(*initiator, mirrored);
}

impl Pair {
    /// Lets everything happen that needs no timer: until nothing is on its way.
    pub(crate) fn drive(&mut self) {
        for _ in 0..MAX_STEPS {
            self.settle();
            match self.link.next_arrival() {
                Some(arrival) => self.now = self.now.max(arrival),
                None => return,
            }
        }
        panic!("the machines never come to rest");
    }

    /// Lets time pass, with all timers.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MAX_STEPS {
            self.settle();
            let timers = [
                self.link.next_arrival(),
                self.initiator
                    .poll_timeout()
                    .filter(|_| self.initiator_error.is_none()),
                self.target.poll_timeout().filter(|_| self.target_error.is_none()),
            ];
            match timers.into_iter().flatten().min().filter(|next| *next <= end) {
                Some(next) => self.now = self.now.max(next),
                None => {
                    self.now = end;
                    return;
                }
            }
            self.fire_timers();
        }
        panic!("the timers never come to rest");
    }

    fn fire_timers(&mut self) {
        let now = self.now;
        let due = |timer: Option<Instant>| timer.is_some_and(|timer| timer <= now);
        if self.initiator_error.is_none() && due(self.initiator.poll_timeout()) {
            self.initiator_error = self.initiator.handle_timeout(now).err();
        }
        if self.target_error.is_none() && due(self.target.poll_timeout()) {
            self.target_error = self.target.handle_timeout(now).err();
        }
    }

    /// Hands over what has arrived, and sends what the machines want to send, until neither has anything to do.
    fn settle(&mut self) {
        loop {
            let mut busy = false;
            while let Some(event) = self.target.poll_event() {
                busy = true;
                self.disk.handle(&mut self.target, event);
            }
            while let Some(event) = self.initiator.poll_event() {
                busy = true;
                self.events.push(event);
            }
            busy |= self.transmit();
            busy |= self.receive();
            if !busy {
                return;
            }
        }
    }

    /// A side that has given up still sends what it has queued (a Reject); it listens to nothing.
    fn transmit(&mut self) -> bool {
        let mut busy = false;
        while let Some(raw) = self.target.poll_transmit() {
            busy = true;
            self.link.send(self.now, Flow::ToInitiator, raw);
        }
        while self.initiator_error.is_none() {
            let Some(raw) = self.initiator.poll_transmit() else {
                break;
            };
            busy = true;
            self.link.send(self.now, Flow::ToTarget, raw);
        }
        busy
    }

    fn receive(&mut self) -> bool {
        let mut busy = false;
        if self.initiator_error.is_none() {
            if let Some(received) = self.link.receive(self.now, Flow::ToInitiator) {
                busy = true;
                self.initiator.handle_activity(self.now);
                let handled = match received {
                    Ok(raw) => self.initiator.handle_pdu(self.now, raw),
                    Err(error) => self.initiator.handle_frame_error(self.now, error),
                };
                self.initiator_error = handled.err();
            }
        } else {
            self.link.discard(Flow::ToInitiator);
        }
        if self.target_error.is_none() {
            if let Some(received) = self.link.receive(self.now, Flow::ToTarget) {
                busy = true;
                let handled = match received {
                    Ok(raw) => self.target.handle_pdu(self.now, raw),
                    Err(error) => self.target.handle_frame_error(self.now, error),
                };
                self.target_error = handled.err();
            }
        } else {
            self.link.discard(Flow::ToTarget);
        }
        busy
    }

    pub(crate) fn submit(
        &mut self,
        cdb: [u8; 16],
        data: TaskData,
        time: Option<Duration>,
    ) -> InitiatorTaskTag {
        let task = ScsiTask {
            lun: LunField::default(),
            cdb,
            data,
            attribute: TaskAttribute::Simple,
            deadline: time.map(|time| self.now + time),
        };
        self.initiator.submit(task).expect("room for a task")
    }

    pub(crate) fn read(&mut self, lba: u32, blocks: usize) -> InitiatorTaskTag {
        self.submit(
            cdb(READ_10, lba, blocks),
            TaskData::In((blocks * BLOCK_LEN) as u32),
            None,
        )
    }

    pub(crate) fn write(&mut self, lba: u32, data: &[u8]) -> InitiatorTaskTag {
        let blocks = data.len() / BLOCK_LEN;
        self.submit(
            cdb(WRITE_10, lba, blocks),
            TaskData::Out(Bytes::copy_from_slice(data)),
            None,
        )
    }

    /// Takes the end of a task, if it has come to one.
    pub(crate) fn take(&mut self, task: InitiatorTaskTag) -> Option<Result<Completion, TaskError>> {
        let ended = |event: &Event| matches!(event, Event::Completed { task: ended, .. } if *ended == task);
        let at = self.events.iter().position(ended)?;
        match self.events.remove(at) {
            Event::Completed { result, .. } => Some(result),
            _ => None,
        }
    }

    /// The task ended with GOOD status; its data.
    pub(crate) fn take_good(&mut self, task: InitiatorTaskTag) -> Vec<u8> {
        self.assert_alive();
        let completion = self
            .take(task)
            .expect("the task has ended")
            .expect("it has a status");
        assert_eq!(completion.status, 0, "sense {:02x?}", completion.sense);
        completion.data.into_bytes().to_vec()
    }

    pub(crate) fn assert_alive(&self) {
        assert_eq!(self.initiator_error, None);
        assert_eq!(self.target_error, None);
    }

    /// How many PDUs of a kind were sent.
    pub(crate) fn count(&self, kind: impl Fn(&Pdu) -> bool) -> usize {
        self.link.trace.iter().filter(|(_, pdu)| kind(pdu)).count()
    }
}

/// Bytes that differ from block to block and from seed to seed.
pub(crate) fn pattern(seed: u32, len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)).to_be_bytes()[1])
        .collect()
}
