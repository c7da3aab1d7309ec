//! The stages of a login after its first list, and when each of them ends (RFC 7143 §6.3.2, §6.3.3).

use super::super::error::ProtocolError;
use super::super::list::{KeyList, is_security_key, take_one};
use super::ready::LoginIdentity;
use super::refusal::RefusalReason;
use super::security::Security;
use crate::params::{Key, Negotiation};
use crate::pdu::Stage;

/// What is answered: keys, and the stage that we agree to go to.
pub(super) type Reply = (KeyList, Option<Stage>);

/// A login whose initiator has named itself and was let in so far.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) identity: LoginIdentity,
    pub(super) security: Security,
    pub(super) negotiation: Negotiation,
    pub(super) target_alias: Option<String>,
}

impl Opened {
    /// What a target tells with its first answer (§13.6, §13.9).
    pub(super) fn announcements(&self, target_portal_group_tag: u16) -> KeyList {
        let mut list = KeyList::new();
        if self.identity.target_name.is_none() {
            return list;
        }
        let tag = target_portal_group_tag.to_string();
        list.push(("TargetPortalGroupTag".to_owned(), tag));
        if let Some(alias) = &self.target_alias {
            list.push(("TargetAlias".to_owned(), alias.clone()));
        }
        list
    }

    /// The security stage.
    pub(super) fn secure(
        &mut self,
        mut list: KeyList,
        wanted: Option<Stage>,
    ) -> Result<Reply, RefusalReason> {
        // Too early by the letter, but some send it here, and it can do no harm.
        if let Some(declared) = take_one(&mut list, "MaxRecvDataSegmentLength")? {
            self.negotiation
                .receive([("MaxRecvDataSegmentLength", &declared[..])])?;
        }
        let mut answers = self.security.handle(&mut list)?;
        self.identity.chap_user = self.security.user();
        for (key, _) in list {
            if is_security_key(&key) || Key::from_name(&key).is_some() {
                return Err(ProtocolError::UnexpectedKey { key }.into());
            }
            answers.push((key, "NotUnderstood".to_owned()));
        }
        if wanted.is_some() && self.security.is_passed_over() {
            return Err(RefusalReason::ChapRequired);
        }
        let next = wanted.filter(|_| self.security.is_settled());
        let next = match next {
            // What we cannot do without is negotiated in the stage between.
            Some(Stage::FullFeaturePhase) if self.negotiation.has_needs() => {
                Some(Stage::LoginOperationalNegotiation)
            }
            next => next,
        };
        Ok((answers, next))
    }

    /// The operational stage.
    pub(super) fn negotiate(
        &mut self,
        list: &KeyList,
        wanted: Option<Stage>,
    ) -> Result<Reply, RefusalReason> {
        if !self.security.is_settled() {
            return Err(RefusalReason::ChapRequired);
        }
        if let Some((key, _)) = list.iter().find(|(key, _)| is_security_key(key)) {
            return Err(ProtocolError::UnexpectedKey { key: key.clone() }.into());
        }
        let pairs = list.iter().map(|(key, value)| (&key[..], &value[..]));
        let mut answers = self.negotiation.receive(pairs)?;
        answers.extend(self.negotiation.declare());
        if wanted.is_none() {
            return Ok((answers, None));
        }
        let needed = self.negotiation.offer_needed();
        let next = wanted.filter(|_| needed.is_empty());
        answers.extend(needed);
        Ok((answers, next))
    }
}
