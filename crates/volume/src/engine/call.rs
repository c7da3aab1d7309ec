//! `Call`: one caller's deadline, its name, and its ear for progress.

use crate::error::VolumeError;
use crate::model::VolumeId;
use crate::progress::{Phase, Progress, Step};
use std::fmt;
use std::time::{Duration, Instant};

/// What comes with every call of the engine.
pub struct Call<'a> {
    deadline: Instant,
    owner: String,
    force: bool,
    progress: Option<&'a mut dyn FnMut(Progress)>,
}

impl<'a> Call<'a> {
    /// A call that may last until `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Call {
            deadline,
            owner: String::new(),
            force: false,
            progress: None,
        }
    }

    /// A call that may last this long from now.
    pub fn within(time: Duration) -> Self {
        Self::until(Instant::now() + time)
    }

    /// Names who asks (a pod, a person); kept with publications.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// On the way down, gives up what the storage does not let us flush any more: **lost** is what it never took.
    /// Never takes anything away from somebody who uses it.
    #[must_use]
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Tells each step as it begins, waits and ends.
    #[must_use]
    pub fn on_progress<'b>(self, progress: &'b mut dyn FnMut(Progress)) -> Call<'b> {
        Call {
            deadline: self.deadline,
            owner: self.owner,
            force: self.force,
            progress: Some(progress),
        }
    }

    /// Until when it may last.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn is_forced(&self) -> bool {
        self.force
    }

    /// From now on a detach gives up what cannot be flushed.
    pub(crate) fn give_up_unwritten(&mut self) {
        self.force = true;
    }

    /// Who asks.
    pub(crate) fn who(&self) -> &str {
        &self.owner
    }

    /// Gives at least this much time from now: for undoing what failed, even when the caller's own time is over.
    pub(crate) fn grant(&mut self, grace: Duration) {
        self.deadline = self.deadline.max(Instant::now() + grace);
    }

    pub(crate) fn tell(&mut self, step: Step, subject: &str, phase: Phase) {
        if let Some(progress) = &mut self.progress {
            progress(Progress {
                step,
                subject: subject.to_owned(),
                phase,
            });
        }
    }

    /// Fails when no time is left for a step.
    pub(crate) fn check_time(&self, id: &VolumeId, step: Step) -> Result<(), VolumeError> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        Err(VolumeError::DeadlinePassed { id: id.clone(), step })
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("deadline", &self.deadline)
            .field("owner", &self.owner)
            .finish()
    }
}
