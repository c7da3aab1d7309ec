//! Logins that succeed: our two machines with each other, and each with a script of known bytes.

use super::*;
use crate::chap::Algorithm;
use crate::digest::Digests;
use crate::params::DigestPolicy;

#[test]
fn every_authentication_with_every_algorithm_and_digest() {
    for algorithm in Algorithm::ALL {
        for (config, authority) in [
            (initiator_config(), open()),
            (with_chap(), demands_chap()),
            (with_mutual(), demands_chap()),
        ] {
            for (header, data) in [(false, false), (true, false), (false, true), (true, true)] {
                let policy = |wanted| match wanted {
                    true => DigestPolicy::Required,
                    false => DigestPolicy::Never,
                };
                let mut config = InitiatorLoginConfig {
                    algorithms: Algorithms::new(&[algorithm]).unwrap(),
                    ..config.clone()
                };
                config.offers.header_digest = policy(header);
                config.offers.data_digest = policy(data);
                let user = config.chap.as_ref().map(|chap| chap.name().to_owned());
                let done = dialogue(config, target_config(), &authority).done();
                assert_eq!(done.initiator.digests, Digests { header, data });
                assert_eq!(done.target.digests, Digests { header, data });
                assert_eq!(done.identity.chap_user, user);
                assert!(done.exchanges <= 4);
            }
        }
    }
}

#[test]
fn both_sides_go_on_from_the_same_numbers() {
    let done = dialogue(with_chap(), target_config(), &demands_chap()).done();
    // Four responses from 0xfffffffe on: the StatSN has wrapped.
    assert_eq!(done.initiator.exp_stat_sn, SerialNumber32(2));
    // Login requests are immediate: the first command has the CmdSN of the login.
    assert_eq!(done.initiator.cmd_sn, SerialNumber32(0xffff_ffff));
    assert_eq!(done.initiator.max_cmd_sn, SerialNumber32(62));
    assert_eq!(done.initiator.tsih, SESSION);
    assert_eq!(done.initiator.target_portal_group_tag, Some(7));
    assert_eq!(
        done.initiator, done.target,
        "all limits are the same on both sides here"
    );
    assert_eq!(done.identity.isid, ISID);
    assert_eq!(done.identity.cid, Cid(1));
    assert_eq!(done.identity.initiator_name.as_str(), INITIATOR);
    assert_eq!(done.identity.target_name.unwrap().as_str(), TARGET);
}

#[test]
fn a_discovery_session_needs_no_target_name() {
    let config = InitiatorLoginConfig {
        target_name: None,
        ..with_mutual()
    };
    let done = dialogue(config, target_config(), &demands_chap()).done();
    assert_eq!(done.initiator.session_type, SessionType::Discovery);
    assert_eq!(done.identity.session_type, SessionType::Discovery);
    assert_eq!(done.identity.target_name, None);
    assert_eq!(done.initiator.target_portal_group_tag, None);
    assert_eq!(done.initiator, done.target);
}

#[test]
fn lists_longer_than_a_pdu_go_both_ways() {
    let config = InitiatorLoginConfig {
        initiator_alias: Some("i".repeat(8192)),
        ..with_mutual()
    };
    let Access::Granted(grant) = demands_chap().0 else {
        unreachable!()
    };
    let authority = Always(Access::Granted(Grant {
        target_alias: Some("t".repeat(8192)),
        ..grant
    }));
    let done = dialogue(config, target_config(), &authority).done();
    assert_eq!(done.identity.initiator_alias, Some("i".repeat(8192)));
    assert_eq!(done.initiator.target_alias, Some("t".repeat(8192)));
    assert!(done.exchanges > 4, "{}", done.exchanges);
}

#[test]
fn a_session_is_reinstated_with_the_handle_that_it_had() {
    let config = InitiatorLoginConfig {
        tsih: SESSION,
        ..initiator_config()
    };
    let done = dialogue(config, target_config(), &open()).done();
    assert_eq!(done.identity.tsih, SESSION);
    assert_eq!(done.initiator.tsih, SESSION);
}

#[test]
fn a_target_that_needs_something_asks_for_it_before_the_end() {
    let mut theirs = target_config();
    theirs.offers.immediate_data = false;
    theirs.offers.max_burst_length = 16_384;
    let mut quiet = TargetLogin::new(theirs);
    // An initiator that says nothing of it, and wants to pass the operational stage over.
    let names = [
        ("InitiatorName", INITIATOR),
        ("TargetName", TARGET),
        ("AuthMethod", "None"),
    ];
    let first = request(Stage::SecurityNegotiation, Some(Stage::FullFeaturePhase), &names);
    let Ok(TargetStep::Send(response)) = quiet.handle(first, &open()) else {
        panic!("the target enters full feature phase without what it needs");
    };
    assert_eq!(response.transit_to, Some(Stage::LoginOperationalNegotiation));
    let operational = |list: &[(&str, &str)]| {
        request(
            Stage::LoginOperationalNegotiation,
            Some(Stage::FullFeaturePhase),
            list,
        )
    };
    let Ok(TargetStep::Send(response)) = quiet.handle(operational(&[]), &open()) else {
        panic!("the target does not wait for the answer");
    };
    assert_eq!(response.transit_to, None);
    let raised = keys(&response.data);
    assert_eq!(value(&raised, "ImmediateData"), Some("No"));
    assert_eq!(value(&raised, "MaxBurstLength"), Some("16384"));
    let answers = [
        ("ImmediateData", "No"),
        ("MaxBurstLength", "8192"),
        ("FirstBurstLength", "8192"),
    ];
    let Ok(TargetStep::Ready(ready)) = quiet.handle(operational(&answers), &open()) else {
        panic!("all is said");
    };
    let (_, session) = ready.accept(SESSION);
    assert!(!session.immediate_data);
    assert_eq!(session.max_burst_length, 8192);
}

#[test]
fn a_caller_that_refuses_a_ready_login_sends_its_status() {
    let mut target = TargetLogin::new(target_config());
    let names = [("InitiatorName", INITIATOR), ("TargetName", TARGET)];
    let first = request(
        Stage::LoginOperationalNegotiation,
        Some(Stage::FullFeaturePhase),
        &names,
    );
    let Ok(TargetStep::Ready(ready)) = target.handle(first, &open()) else {
        panic!("nothing is left to negotiate");
    };
    let response = wire(ready.refuse(LoginStatus::SESSION_DOES_NOT_EXIST));
    assert_eq!(response.status, LoginStatus::SESSION_DOES_NOT_EXIST);
    assert_eq!(response.transit_to, None);
}

#[test]
fn the_initiators_bytes_of_mutual_chap() {
    let config = InitiatorLoginConfig {
        initiator_alias: Some("node one".to_owned()),
        ..with_mutual()
    };
    let mut login = initiator(config);
    let first = login.start();
    assert_eq!(
        first.data,
        "InitiatorName=iqn.2024-01.test.longshore:node1\0InitiatorAlias=node one\0\
         TargetName=iqn.2024-01.test.array:disk0\0SessionType=Normal\0AuthMethod=CHAP\0"
    );
    assert_eq!(
        (first.current_stage, first.transit_to),
        (Stage::SecurityNegotiation, None)
    );
    let next = |login: &mut InitiatorLogin, response| match login.handle(response) {
        Ok(InitiatorStep::Send(request)) => request,
        other => panic!("{other:?}"),
    };
    let answer = respond(&first, &[("TargetPortalGroupTag", "1"), ("AuthMethod", "CHAP")]);
    let second = next(&mut login, answer);
    assert_eq!(second.data, "CHAP_A=8,7,5\0");
    assert_eq!(second.exp_stat_sn, SerialNumber32(42));
    let challenge = "0x101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f";
    let answer = respond(
        &second,
        &[("CHAP_A", "7"), ("CHAP_I", "47"), ("CHAP_C", challenge)],
    );
    let third = next(&mut login, answer);
    assert_eq!(
        third.data,
        "CHAP_N=alice\0\
         CHAP_R=0x027e19fe518a58a632254e8031a17f0380492e5b73356faf2c10dd97f03828a8\0\
         CHAP_I=95\0\
         CHAP_C=0x404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f\0"
    );
    assert_eq!(third.transit_to, Some(Stage::LoginOperationalNegotiation));
    let proof = PROOF_OF_ARRAY;
    let fourth = next(
        &mut login,
        respond(&third, &[("CHAP_N", "array"), ("CHAP_R", proof)]),
    );
    assert_eq!(fourth.current_stage, Stage::LoginOperationalNegotiation);
    assert_eq!(fourth.transit_to, Some(Stage::FullFeaturePhase));
    assert_eq!(value(&keys(&fourth.data), "HeaderDigest"), Some("CRC32C,None"));
    let last = respond(&fourth, &[("HeaderDigest", "None"), ("MaxBurstLength", "65536")]);
    let Ok(InitiatorStep::Done(session)) = login.handle(last) else {
        panic!("the login is complete");
    };
    assert_eq!(session.max_burst_length, 65_536);
    assert_eq!(session.target_portal_group_tag, Some(1));
    assert!(!session.digests.header);
}

/// SHA-256 of 5fh, "array-secret-16-b" and the bytes 40h to 5fh, by Python's hashlib.
const PROOF_OF_ARRAY: &str = "0xb7f42cf84f91fc012a0c3399e389600311996d87bf422096b821e69457c91aad";

#[test]
fn the_targets_bytes_of_mutual_chap() {
    let expected = [
        (
            "5",
            "0x380886fcc8d2a78ce280313eaf1f5dcf",
            "0xb8ec3281956143ce05184a542ff653e7",
            16,
        ),
        (
            "6",
            "0xb31fb8c979326ca7401598133137ab4297628a9c",
            "0xc0e22d600bb912037e07f6c1c321c4fe30be626e",
            20,
        ),
        (
            "7",
            "0x27ad3810ab98bbde39c5e231032afe4c6a040a349d46257e40e795447fec20f6",
            "0xf103a32101d3996d7f0ef7df172c0ef9610009fe3a9c1b66f9d7b2c58419da4f",
            32,
        ),
        (
            "8",
            "0x6f1a1e91d21a6c83d7e2477cd28718a1f9e9b658f6338269adf63d7e1052ba87",
            "0xa052f78cf321b90ab6ec5292f1c808a9bf2bcc0fbc5d8cdcfcf417cc69b0dec1",
            32,
        ),
    ];
    for (algorithm, alices_proof, arrays_proof, len) in expected {
        let mut target = TargetLogin::new(target_config());
        let mut next = |list: &[(&str, &str)], next| match target
            .handle(request(Stage::SecurityNegotiation, next, list), &demands_chap())
        {
            Ok(TargetStep::Send(response)) => response,
            other => panic!("{other:?}"),
        };
        let names = [
            ("InitiatorName", INITIATOR),
            ("TargetName", TARGET),
            ("AuthMethod", "CHAP,None"),
        ];
        let first = next(&names, None);
        assert_eq!(first.data, "AuthMethod=CHAP\0TargetPortalGroupTag=7\0");
        let second = next(&[("CHAP_A", algorithm)], None);
        let challenge: String = (0x80..0xa0)
            .take(len)
            .map(|byte: u8| format!("{byte:02x}"))
            .collect();
        let expected = format!("CHAP_A={algorithm}\0CHAP_I=159\0CHAP_C=0x{challenge}\0");
        assert_eq!(second.data, expected);
        let proof = [
            ("CHAP_N", "alice"),
            ("CHAP_R", alices_proof),
            ("CHAP_I", "7"),
            ("CHAP_C", "0bAQIDBA=="),
        ];
        let third = next(&proof, Some(Stage::LoginOperationalNegotiation));
        assert_eq!(third.data, format!("CHAP_N=array\0CHAP_R={arrays_proof}\0"));
        assert_eq!(third.transit_to, Some(Stage::LoginOperationalNegotiation));
    }
}

#[test]
fn the_first_of_the_initiators_algorithms_that_the_target_allows_is_taken() {
    let ours = InitiatorLoginConfig {
        algorithms: Algorithms::all(),
        ..with_chap()
    };
    let theirs = TargetLoginConfig {
        algorithms: Algorithms::new(&[Algorithm::Md5, Algorithm::Sha1]).unwrap(),
        ..target_config()
    };
    let done = dialogue(ours, theirs, &demands_chap()).done();
    assert_eq!(done.warnings, [LoginWarning::WeakAlgorithm(Algorithm::Sha1)]);
}

#[test]
fn a_target_that_does_not_ask_for_chap_is_a_warning() {
    let done = dialogue(with_chap(), target_config(), &open()).done();
    assert_eq!(done.warnings, [LoginWarning::ChapNotAsked]);
    assert_eq!(done.identity.chap_user, None);
}

#[test]
fn a_short_secret_is_a_warning() {
    let short = ChapCredentials::new("alice", "short".into()).unwrap();
    let authority = granted(Authentication::Chap {
        accounts: vec![short.clone()],
        mutual: None,
    });
    let ours = InitiatorLoginConfig {
        chap: Some(short),
        ..initiator_config()
    };
    let done = dialogue(ours, target_config(), &authority).done();
    assert!(matches!(&done.warnings[..], [LoginWarning::Secret(warning)] if warning.bits == 40));
}

#[test]
fn keys_that_a_target_tells_beside_the_negotiation_are_taken_or_passed_over() {
    let mut login = initiator(initiator_config());
    let first = login.start();
    let answer = respond(
        &first,
        &[
            ("AuthMethod", "None"),
            ("TargetAlias", "Disk 0"),
            ("TargetAddress", "192.0.2.1:3260,1"),
            ("X-com.example.early", "1"),
            ("MaxRecvDataSegmentLength", "16384"),
        ],
    );
    let Ok(InitiatorStep::Send(second)) = login.handle(answer) else {
        panic!("the operational stage follows");
    };
    // Asks back once before it ends the stage.
    let mut answer = respond(&second, &[("X-com.example.hint", "1"), ("DefaultTime2Wait", "5")]);
    answer.transit_to = None;
    let Ok(InitiatorStep::Send(third)) = login.handle(answer) else {
        panic!("the target has not ended the stage");
    };
    assert_eq!(third.data, "X-com.example.hint=NotUnderstood\0");
    assert_eq!(third.transit_to, Some(Stage::FullFeaturePhase));
    let Ok(InitiatorStep::Done(session)) = login.handle(respond(&third, &[])) else {
        panic!("the target has ended the stage");
    };
    assert_eq!(session.target_alias.as_deref(), Some("Disk 0"));
    assert_eq!(session.max_send_data_segment_length, 16_384);
    assert_eq!(session.default_time2wait.as_secs(), 5);
}
