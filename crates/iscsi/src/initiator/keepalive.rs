//! When to ask the target whether it lives, and when to give it up (RFC 7143 §11.18).

use super::Settings;
use std::time::Instant;

/// The state of our NOP-Out.
#[derive(Debug)]
pub(super) struct Keepalive {
    settings: Settings,
    last_heard: Instant,
    /// When the NOP-Out that has no answer was sent.
    asked: Option<Instant>,
}

impl Keepalive {
    pub(super) fn new(now: Instant, settings: Settings) -> Self {
        Keepalive {
            settings,
            last_heard: now,
            asked: None,
        }
    }

    /// Anything came from the target: it lives, whether or not this is the answer.
    pub(super) fn note_activity(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
    }

    pub(super) fn note_asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    pub(super) fn note_answered(&mut self) {
        self.asked = None;
    }

    /// The connection was silent for too long, and no question is open.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.asked.is_none() && now >= self.last_heard + self.settings.keepalive_interval
    }

    /// The question is open for too long, and nothing at all came meanwhile.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.asked.is_some() && now >= self.expiry()
    }

    /// When either happens next.
    pub(super) fn next(&self) -> Instant {
        match self.asked {
            Some(_) => self.expiry(),
            None => self.last_heard + self.settings.keepalive_interval,
        }
    }

    fn expiry(&self) -> Instant {
        self.asked.unwrap_or(self.last_heard).max(self.last_heard) + self.settings.keepalive_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn asks_after_silence_and_gives_up_after_more() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut keepalive = Keepalive::new(start, Settings::default());
        assert!(!keepalive.is_due(after(4)) && keepalive.is_due(after(5)));
        assert_eq!(keepalive.next(), after(5));
        keepalive.note_asked(after(5));
        assert!(!keepalive.is_due(after(6)), "one question at a time");
        assert!(!keepalive.is_expired(after(9)) && keepalive.is_expired(after(10)));
    }

    #[test]
    fn a_target_that_sends_lives_even_if_its_answer_is_late() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut keepalive = Keepalive::new(start, Settings::default());
        keepalive.note_asked(after(5));
        keepalive.note_activity(after(9));
        assert!(!keepalive.is_expired(after(13)) && keepalive.is_expired(after(14)));
        keepalive.note_answered();
        assert_eq!(keepalive.next(), after(14));
    }
}
