//! Logins with a peer that says anything: an end or an error within the bounded number of exchanges, never a panic.
//!
//! The target's side asks an authority that lets everybody in, so that random bytes get past authentication.

use crate::input::{Input, put};
use longshore_iscsi::chap::{Algorithms, ChapCredentials};
use longshore_iscsi::isid::Isid;
use longshore_iscsi::login::{
    Access, AccessRequest, Authentication, Authority, Grant, InitiatorLogin, InitiatorLoginConfig,
    InitiatorStep, MAX_EXCHANGES, TargetLogin, TargetLoginConfig, TargetStep,
};
use longshore_iscsi::params::Offers;
use longshore_iscsi::pdu::{Cid, LoginRequest, LoginResponse, Opcode, RawPdu, Stage, Tsih};
use longshore_iscsi::serial::SerialNumber32;

/// Pairs that belong into some stage of a login, and a few that belong nowhere.
const PAIRS: [&str; 24] = [
    "InitiatorAlias=host",
    "TargetAlias=array",
    "SessionType=Discovery",
    "AuthMethod=CHAP,None",
    "AuthMethod=None",
    "AuthMethod=CHAP",
    "CHAP_A=7,5",
    "CHAP_A=7",
    "CHAP_I=7",
    "CHAP_C=0x0102030405060708090a0b0c0d0e0f10",
    "CHAP_N=host",
    "CHAP_R=0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    "HeaderDigest=None",
    "DataDigest=CRC32C",
    "InitialR2T=No",
    "ImmediateData=Yes",
    "MaxRecvDataSegmentLength=512",
    "MaxBurstLength=16777215",
    "FirstBurstLength=65536",
    "TargetPortalGroupTag=1",
    "TargetAddress=192.0.2.1:3260",
    "ErrorRecoveryLevel=2",
    "MaxConnections=Irrelevant",
    "X-com.example.key=?",
];

const ISID: Isid = Isid::random([1, 2, 3], 4);

struct Everybody(Authentication);

impl Authority for Everybody {
    fn admit(&self, _: &AccessRequest<'_>) -> Access {
        Access::Granted(Grant {
            authentication: self.0.clone(),
            target_alias: None,
        })
    }
}

fn credentials() -> ChapCredentials {
    ChapCredentials::new("host", "a fake secret!!!".to_owned().into()).expect("legal credentials")
}

/// A login PDU that mostly fits the login under way: `stage` and the stages that may follow it.
fn pdu(input: &mut Input<'_>, opcode: Opcode, tag: u32, stage: Stage, names: &str) -> RawPdu {
    if input.rarely() {
        return input.any_pdu(&[opcode]);
    }
    let mut raw = input.any_pdu(&[opcode]);
    let flags: &[u8] = match stage {
        Stage::SecurityNegotiation => &[0x81, 0x81, 0x83, 0x00, 0x40],
        _ => &[0x87, 0x87, 0x04, 0x44],
    };
    raw.bhs = [0; 48];
    raw.bhs[0] = opcode.bits();
    raw.bhs[1] = input.choose(flags);
    raw.bhs[8..14].copy_from_slice(&ISID.0);
    put(&mut raw, 16, tag);
    if opcode == Opcode::LoginResponse && raw.bhs[1] & 0x83 == 0x83 {
        raw.bhs[15] = 1;
    }
    raw.ahs.clear();
    if !input.rarely() {
        let mut text = names.as_bytes().to_vec();
        for _ in 0..input.number(4) {
            text.extend_from_slice(input.choose(&PAIRS).as_bytes());
            text.push(0);
        }
        raw.data = text.into();
    }
    raw
}

/// A target says anything to our initiator.
pub(crate) fn run_initiator(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let chap = (choice & 1 != 0).then(credentials);
    let mutual =
        ChapCredentials::new("array", "the other secret".to_owned().into()).expect("legal credentials");
    let config = InitiatorLoginConfig {
        initiator_name: "iqn.2001-04.com.example:host".parse().expect("a legal name"),
        initiator_alias: None,
        target_name: (choice & 2 != 0)
            .then(|| "iqn.2001-04.com.example:array".parse().expect("a legal name")),
        isid: ISID,
        tsih: Tsih(0),
        cid: Cid(0),
        cmd_sn: SerialNumber32(1),
        offers: Offers::default(),
        mutual: chap.is_some().then_some(mutual).filter(|_| choice & 4 != 0),
        chap,
        algorithms: Algorithms::all(),
    };
    let mut login = InitiatorLogin::new(config, [9; 32]).expect("a sound configuration");
    let mut request = login.start();
    for exchange in 0..=MAX_EXCHANGES {
        let stage = request.current_stage;
        let mut raw = pdu(
            &mut input,
            Opcode::LoginResponse,
            request.initiator_task_tag.0,
            stage,
            "",
        );
        put(&mut raw, 24, exchange);
        let Ok(response) = LoginResponse::parse(raw) else {
            return;
        };
        match login.handle(response) {
            Ok(InitiatorStep::Send(next)) => request = next,
            Ok(InitiatorStep::Done(session)) => {
                assert!(session.first_burst_length <= session.max_burst_length);
                assert!(session.max_send_data_segment_length >= 512);
                return;
            }
            Ok(InitiatorStep::Redirect { .. }) | Err(_) => return,
        }
        assert!(request.data.len() <= 8192);
    }
    panic!("a login without end");
}

/// An initiator says anything to our target.
pub(crate) fn run_target(data: &[u8]) {
    let mut input = Input::new(data);
    let authority = Everybody(match input.byte() & 1 {
        0 => Authentication::None,
        _ => Authentication::Chap {
            accounts: vec![credentials()],
            mutual: None,
        },
    });
    let mut login = TargetLogin::new(TargetLoginConfig {
        target_portal_group_tag: 1,
        offers: Offers::default(),
        algorithms: Algorithms::all(),
        challenge: [8; 32],
        stat_sn: SerialNumber32(1),
        command_window: 32,
    });
    let mut stage = input.choose(&[Stage::SecurityNegotiation, Stage::LoginOperationalNegotiation]);
    let mut names = "InitiatorName=iqn.2001-04.com.example:host\0TargetName=iqn.2001-04.com.example:array\0";
    for _ in 0..=MAX_EXCHANGES {
        let raw = pdu(
            &mut input,
            Opcode::LoginRequest,
            1,
            stage,
            std::mem::take(&mut names),
        );
        let Ok(request) = LoginRequest::parse(raw) else {
            return;
        };
        match login.handle(request, &authority) {
            Ok(TargetStep::Send(response)) => {
                assert!(response.data.len() <= 8192);
                stage = response.transit_to.unwrap_or(stage);
            }
            Ok(TargetStep::Ready(ready)) => {
                let (response, session) = ready.accept(Tsih(1));
                assert!(response.status.is_success());
                assert!(session.first_burst_length <= session.max_burst_length);
                return;
            }
            Err(refusal) => {
                assert!(!refusal.response.status.is_success());
                return;
            }
        }
    }
    panic!("a login without end");
}
