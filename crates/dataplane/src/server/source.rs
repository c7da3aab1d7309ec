//! Checks what a client says about a target, and makes of it what `initiator` takes.

use std::fmt::Display;
use std::net::IpAddr;

use longshore_initiator::{Bind, DiscoveryConfig, Portal, SessionConfig};
use longshore_iscsi::chap::ChapCredentials;
use longshore_iscsi::isid::Isid;
use longshore_iscsi::name::IscsiName;
use longshore_scsi::lun::Lun;

use crate::proto::{Chap, DiscoverRequest, ErrorKind, IscsiSource, RemoteError};

/// Most portals of one target.
const MAX_PORTALS: usize = 64;

/// What sessions are shared by. Names are in normal form: spellings that differ in case are one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SessionKey {
    pub(super) iqn: String,
    initiator_name: String,
    isid: [u8; 6],
    chap_user: Option<String>,
    interface: Option<String>,
}

/// What attaches and detaches exclude each other by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct UnitKey {
    pub(super) session: SessionKey,
    pub(super) lun: u16,
}

impl UnitKey {
    pub(super) fn of(source: &IscsiSource) -> Self {
        let session = SessionKey {
            iqn: source.iqn.to_ascii_lowercase(),
            initiator_name: source.initiator_name.to_ascii_lowercase(),
            isid: source.isid,
            chap_user: source.chap.as_ref().map(|chap| chap.user.clone()),
            interface: source.interface.clone(),
        };
        Self {
            session,
            lun: source.lun,
        }
    }
}

/// The login of a source.
pub(super) fn session_config(source: &IscsiSource) -> Result<SessionConfig, RemoteError> {
    let initiator = name(&source.initiator_name, "initiator")?;
    let target = name(&source.iqn, "target")?;
    let mut config = SessionConfig::new(initiator, Isid(source.isid), target, portals(&source.portals)?);
    config.bind = bind(source.interface.as_deref())?;
    config.chap = credentials(source.chap.as_ref())?;
    config.mutual_chap = credentials(source.mutual_chap.as_ref())?;
    Ok(config)
}

/// The login of a discovery.
pub(super) fn discovery_config(request: &DiscoverRequest) -> Result<DiscoveryConfig, RemoteError> {
    let initiator = name(&request.initiator_name, "initiator")?;
    let portals = portals(std::slice::from_ref(&request.portal))?;
    // A random ISID (RFC 7143 §11.12.5, type 2): a discovery shares its name with other sessions and must end none.
    let random = std::process::id().to_be_bytes();
    let isid = Isid::random([random[1], random[2], random[3]], 0xd15c);
    let mut config = DiscoveryConfig::new(initiator, isid, portals);
    config.bind = bind(request.interface.as_deref())?;
    config.chap = credentials(request.chap.as_ref())?;
    config.mutual_chap = credentials(request.mutual_chap.as_ref())?;
    Ok(config)
}

/// The logical unit of a source.
pub(super) fn lun(source: &IscsiSource) -> Result<Lun, RemoteError> {
    Lun::from_number(source.lun).ok_or_else(|| {
        invalid(format!(
            "LUN {} is not between 0 and {}",
            source.lun,
            Lun::MAX_NUMBER
        ))
    })
}

fn name(text: &str, whose: &str) -> Result<IscsiName, RemoteError> {
    text.parse()
        .map_err(|error: longshore_iscsi::name::NameError| invalid(format!("the {whose}'s name: {error}")))
}

fn portals(texts: &[String]) -> Result<Vec<Portal>, RemoteError> {
    if texts.is_empty() || texts.len() > MAX_PORTALS {
        return Err(invalid(format!(
            "{} portals are given; 1 to {MAX_PORTALS} are possible",
            texts.len()
        )));
    }
    texts
        .iter()
        .map(|text| text.parse::<Portal>().map_err(invalid))
        .collect()
}

fn bind(interface: Option<&str>) -> Result<Option<Bind>, RemoteError> {
    // include/uapi/linux/if.h
    const IFNAMSIZ: usize = 16;
    let Some(text) = interface else { return Ok(None) };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Some(Bind::Address(address)));
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if text.is_empty() || text.len() >= IFNAMSIZ || !text.bytes().all(plain) {
        return Err(invalid(format!(
            "{text:?} is neither an address nor the name of a network interface"
        )));
    }
    Ok(Some(Bind::Interface(text.to_owned())))
}

fn credentials(chap: Option<&Chap>) -> Result<Option<ChapCredentials>, RemoteError> {
    chap.map(|chap| ChapCredentials::new(chap.user.clone(), chap.secret.clone()).map_err(invalid))
        .transpose()
}

fn invalid(why: impl Display) -> RemoteError {
    RemoteError::new(ErrorKind::InvalidRequest, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> IscsiSource {
        IscsiSource {
            portals: vec!["192.0.2.1".into()],
            iqn: "iqn.2026-11.example:disks".into(),
            lun: 0,
            interface: None,
            initiator_name: "iqn.2026-11.example:node".into(),
            isid: [0x80, 1, 2, 3, 0, 1],
            chap: None,
            mutual_chap: None,
        }
    }

    /// Two sessions with one name and one ISID would end each other.
    #[test]
    fn spellings_of_one_name_share_a_session() {
        let mut other = source();
        other.iqn = other.iqn.to_uppercase();
        other.initiator_name = other.initiator_name.to_uppercase();
        assert_eq!(UnitKey::of(&other), UnitKey::of(&source()));
        // The target gets to see it as it was written.
        let config = session_config(&other).expect("valid");
        assert_eq!(config.target_name.as_str(), other.iqn);
    }

    #[test]
    fn what_breaks_a_grammar_is_refused_by_name() {
        assert!(session_config(&source()).is_ok());
        type Break = fn(&mut IscsiSource);
        let cases: [(&str, Break); 5] = [
            ("target", |s| s.iqn = "not a name".into()),
            ("initiator", |s| s.initiator_name = String::new()),
            ("portals", |s| s.portals.clear()),
            ("portal", |s| s.portals = vec!["a b".into()]),
            ("interface", |s| s.interface = Some("../eth0".into())),
        ];
        for (word, break_it) in cases {
            let mut broken = source();
            break_it(&mut broken);
            let error = session_config(&broken).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidRequest);
            assert!(error.message.contains(word), "{}", error.message);
        }
        let mut far = source();
        far.lun = u16::MAX;
        assert!(lun(&far).is_err());
    }
}
