//! Logins that go wrong: silence, garbage, refusals, redirects, names that do not resolve.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use longshore_initiator::{Bind, LoginFailureKind, Portal, RedirectPolicy, Session};
use support::config;
use support::peer::{Peer, TARGET};

/// A deadline that a test waits for.
fn shortly() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let peer = Peer::start().await;
    peer.state().silent = true;
    let deadline = shortly();
    let failure = Session::login(config(TARGET, vec![peer.portal()]), deadline)
        .await
        .err()
        .unwrap();
    assert!(Instant::now() >= deadline);
    assert_eq!(failure.kind(), LoginFailureKind::Timeout, "{failure}");
    assert!(
        failure.to_string().contains(&peer.address.to_string()),
        "{failure}"
    );
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    let peer = Peer::start().await;
    peer.state().garbage = true;
    let failure = Session::login(config(TARGET, vec![peer.portal()]), support::soon())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.kind(), LoginFailureKind::Protocol, "{failure}");
}

#[tokio::test]
async fn every_portal_is_named_with_its_reason() {
    let refusing: Portal = format!("127.0.0.1:{}", support::free_port()).parse().unwrap();
    let unknown: Portal = "nas.invalid".parse().unwrap();
    let config = config(TARGET, vec![refusing.clone(), unknown]);
    let failure = Session::login(config, support::soon()).await.err().unwrap();
    let text = failure.to_string();
    assert!(
        text.contains(&refusing.to_string()) && text.contains("cannot connect"),
        "{text}"
    );
    assert!(
        text.contains("nas.invalid:3260") && text.contains("does not resolve"),
        "{text}"
    );
    assert_eq!(failure.kind(), LoginFailureKind::Unreachable);
}

#[tokio::test]
async fn no_portal_is_an_error_of_its_own() {
    let failure = Session::login(config(TARGET, vec![]), support::soon())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.kind(), LoginFailureKind::NoPortal);
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_named() {
    let peer = Peer::start().await;
    let mut config = config(TARGET, vec![peer.portal()]);
    config.bind = Some(Bind::Interface("longshore-none0".to_owned()));
    let failure = Session::login(config.clone(), support::soon())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.kind(), LoginFailureKind::Bind, "{failure}");
    assert!(failure.to_string().contains("longshore-none0"));

    config.bind = Some(Bind::Address("192.0.2.1".parse().unwrap()));
    let failure = Session::login(config.clone(), support::soon())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.kind(), LoginFailureKind::Bind, "{failure}");

    config.bind = Some(Bind::Address("127.0.0.2".parse().unwrap()));
    Session::login(config, support::soon()).await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_followed_to_a_configured_portal_only() {
    let (door, house) = (Peer::start().await, Peer::start().await);
    door.state().redirect = Some(house.address.to_string());

    let failure = Session::login(config(TARGET, vec![door.portal()]), support::soon())
        .await
        .err()
        .unwrap();
    assert_eq!(failure.kind(), LoginFailureKind::Redirect, "{failure}");
    assert!(house.seen().is_empty(), "nobody went there");

    let mut wide = config(TARGET, vec![door.portal()]);
    wide.redirects = RedirectPolicy::AnyAddress;
    let session = Session::login(wide, support::soon()).await.unwrap();
    assert_eq!(
        (session.info().portal, session.info().address),
        (door.portal(), house.address)
    );

    let both = config(TARGET, vec![door.portal(), house.portal()]);
    let session = Session::login(both, support::soon()).await.unwrap();
    assert_eq!(session.info().address, house.address);
}

#[tokio::test]
async fn a_redirect_to_a_name_or_in_a_circle_is_not_followed() {
    let door = Peer::start().await;
    door.state().redirect = Some("nas.example.org:3260".to_owned());
    let failure = Session::login(config(TARGET, vec![door.portal()]), support::soon())
        .await
        .err()
        .unwrap();
    assert!(
        failure.to_string().contains("only numeric addresses"),
        "{failure}"
    );

    door.state().redirect = Some(door.address.to_string());
    let failure = Session::login(config(TARGET, vec![door.portal()]), support::soon())
        .await
        .err()
        .unwrap();
    assert!(
        failure.to_string().contains("more than two redirects"),
        "{failure}"
    );
}
