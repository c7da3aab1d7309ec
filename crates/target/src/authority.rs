//! Who may log in where, and how it proves itself.

use crate::server::Shared;
use longshore_iscsi::chap::ChapCredentials;
use longshore_iscsi::login::{Access, AccessRefusal, AccessRequest, Authentication, Authority, Grant};

impl Authority for Shared {
    fn admit(&self, request: &AccessRequest<'_>) -> Access {
        let Some(name) = request.target_name else {
            return Access::Granted(Grant {
                authentication: authentication(self.discovery_chap.clone(), None),
                target_alias: None,
            });
        };
        let Some(target) = self.targets.iter().find(|target| target.name == *name) else {
            return Access::Refused(AccessRefusal::UnknownTarget);
        };
        if !target.admits(request.initiator_name) {
            return Access::Refused(AccessRefusal::Forbidden);
        }
        let accounts: Vec<ChapCredentials> = target
            .chap
            .iter()
            .filter(|(initiator, _)| {
                initiator
                    .as_ref()
                    .is_none_or(|name| name == request.initiator_name)
            })
            .map(|(_, credentials)| credentials.clone())
            .collect();
        if accounts.is_empty() && !target.chap.is_empty() {
            return Access::Refused(AccessRefusal::Forbidden); // every account belongs to another initiator
        }
        Access::Granted(Grant {
            authentication: authentication(accounts, target.mutual.clone()),
            target_alias: target.alias.clone(),
        })
    }
}

fn authentication(accounts: Vec<ChapCredentials>, mutual: Option<ChapCredentials>) -> Authentication {
    if accounts.is_empty() {
        Authentication::None
    } else {
        Authentication::Chap { accounts, mutual }
    }
}
