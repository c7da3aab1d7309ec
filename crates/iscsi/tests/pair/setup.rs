//! Who logs in where, with what: the part of a test that differs from the default.

use longshore_iscsi::chap::{Algorithms, ChapCredentials};
use longshore_iscsi::initiator::Settings;
use longshore_iscsi::isid::Isid;
use longshore_iscsi::login::{
    Access, AccessRefusal, AccessRequest, Authentication, Authority, Grant, InitiatorLoginConfig,
    TargetLoginConfig,
};
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::params::{DigestPolicy, Offers};
use longshore_iscsi::pdu::{Cid, Tsih};
use longshore_iscsi::serial::SerialNumber32;
use longshore_iscsi::target::Limits;
use std::time::Duration;

pub(crate) const TARGET_NAME: &str = "iqn.2001-04.com.example:array";

/// Both sides' configuration. The default logs in without CHAP and prefers digests.
pub(crate) struct Setup {
    pub(crate) initiator_offers: Offers,
    pub(crate) target_offers: Offers,
    pub(crate) chap: Option<ChapCredentials>,
    pub(crate) mutual: Option<ChapCredentials>,
    pub(crate) algorithms: Algorithms,
    pub(crate) access: Access,
    pub(crate) target_name: Option<IscsiName>,
    pub(crate) cmd_sn: SerialNumber32,
    pub(crate) stat_sn: SerialNumber32,
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) latency: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            initiator_offers: Offers::default(),
            target_offers: Offers::default(),
            chap: None,
            mutual: None,
            algorithms: Algorithms::all(),
            access: granted(Authentication::None),
            target_name: Some(name(TARGET_NAME)),
            cmd_sn: SerialNumber32(1),
            stat_sn: SerialNumber32(1),
            limits: Limits::default(),
            settings: Settings::default(),
            latency: Duration::from_millis(1),
        }
    }
}

impl Setup {
    /// Lengths so small that a few kilobytes take every path.
    pub(crate) fn small(
        initial_r2t: bool,
        immediate_data: bool,
        header_digest: bool,
        data_digest: bool,
    ) -> Self {
        let policy = |digest| {
            if digest {
                DigestPolicy::Required
            } else {
                DigestPolicy::Never
            }
        };
        let offers = Offers {
            header_digest: policy(header_digest),
            data_digest: policy(data_digest),
            initial_r2t,
            immediate_data,
            max_recv_data_segment_length: 1000,
            max_burst_length: 4096,
            first_burst_length: 2500,
            max_outstanding_r2t: 2,
            ..Offers::default()
        };
        let target_offers = Offers {
            max_recv_data_segment_length: 700,
            ..offers.clone()
        };
        Self {
            initiator_offers: offers,
            target_offers,
            ..Self::default()
        }
    }

    pub(crate) fn initiator_config(&self) -> InitiatorLoginConfig {
        InitiatorLoginConfig {
            initiator_name: name("iqn.2001-04.com.example:host"),
            initiator_alias: None,
            target_name: self.target_name.clone(),
            isid: Isid::random([1, 2, 3], 4),
            tsih: Tsih(0),
            cid: Cid(0),
            cmd_sn: self.cmd_sn,
            offers: self.initiator_offers.clone(),
            chap: self.chap.clone(),
            mutual: self.mutual.clone(),
            algorithms: self.algorithms.clone(),
        }
    }

    pub(crate) fn target_config(&self) -> TargetLoginConfig {
        TargetLoginConfig {
            target_portal_group_tag: 1,
            offers: self.target_offers.clone(),
            algorithms: Algorithms::all(),
            challenge: [2; 32],
            stat_sn: self.stat_sn,
            command_window: self.limits.command_window,
        }
    }
}

impl Authority for Setup {
    fn admit(&self, request: &AccessRequest<'_>) -> Access {
        match request.target_name {
            Some(target) if *target != name(TARGET_NAME) => Access::Refused(AccessRefusal::UnknownTarget),
            _ => self.access.clone(),
        }
    }
}

pub(crate) fn granted(authentication: Authentication) -> Access {
    Access::Granted(Grant {
        authentication,
        target_alias: None,
    })
}

pub(crate) fn name(text: &str) -> IscsiName {
    text.parse().expect("a legal name")
}

pub(crate) fn credentials(name: &str, secret: &str) -> ChapCredentials {
    ChapCredentials::new(name, secret.to_owned().into()).expect("legal credentials")
}
