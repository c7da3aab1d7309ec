//! Ending tasks: ABORT TASK, then LOGICAL UNIT RESET, then the connection (RFC 7143 §4.2.3, §11.5, §11.6).

use super::tags::Request;
use super::transmit::Control;
use super::{Connection, ConnectionError, Event, Function, TaskError, Violation};
use crate::pdu::{InitiatorTaskTag, LunField, Opcode, TaskManagementResponse, TaskManagementResponseCode};
use std::time::Instant;

/// A task management request under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Management {
    pub(super) function: Function,
    pub(super) lun: LunField,
    /// The task that is to be aborted, or whose abort came to nothing.
    pub(super) task: Option<InitiatorTaskTag>,
    /// Until when the target has to answer.
    deadline: Instant,
    /// It was the caller that asked for a reset.
    asked: bool,
}

impl Connection {
    /// Ends a task. One that has not left yet is over at once; for one that has, ABORT TASK goes out, and whatever
    /// comes first counts: its status or the end of the abort. Either way [`Event::Completed`] follows.
    pub fn abort(&mut self, now: Instant, task: InitiatorTaskTag) {
        let Some(state) = self.tags.task(task) else { return };
        if state.cmd_sn.is_none() {
            self.waiting.retain(|tag| *tag != task);
            self.fail(task, TaskError::NeverSent);
        } else if state.aborted_by.is_none() {
            let lun = state.command.lun;
            self.events.push_back(Event::Aborting { task });
            self.manage(now, Function::AbortTask, lun, Some(task), false);
        }
    }

    /// LOGICAL UNIT RESET: ends all tasks of a unit, of every initiator. [`Event::UnitReset`] follows, and the tasks
    /// that had left fail with [`TaskError::Aborted`]. `None` when no tag is free.
    pub fn reset_unit(&mut self, now: Instant, lun: LunField) -> Option<InitiatorTaskTag> {
        self.manage(now, Function::LogicalUnitReset, lun, None, true)
    }

    fn manage(
        &mut self,
        now: Instant,
        function: Function,
        lun: LunField,
        task: Option<InitiatorTaskTag>,
        asked: bool,
    ) -> Option<InitiatorTaskTag> {
        let deadline = now + self.settings.task_management_timeout;
        let management = Management {
            function,
            lun,
            task,
            deadline,
            asked,
        };
        // Without a free tag the task stays; its deadline is looked at again when the next one passes.
        let tag = self.tags.insert(Request::Management(management))?;
        if let Some(task) = task.and_then(|task| self.tags.task_mut(task)) {
            task.aborted_by = Some(tag);
        }
        self.note_deadline(Some(deadline));
        self.control.push_back(Control::Management { tag });
        Some(tag)
    }

    /// Aborts the tasks whose deadline has passed, and finds the next deadline.
    pub(super) fn check_tasks(&mut self, now: Instant) {
        if self.next_deadline.is_none_or(|next| now < next) {
            return;
        }
        let mut late = Vec::new();
        self.next_deadline = None;
        for (tag, request) in self.tags.iter() {
            let deadline = match request {
                Request::Scsi(task) if task.aborted_by.is_none() => task.command.deadline,
                Request::Management(management) => Some(management.deadline),
                _ => None,
            };
            match (deadline, request) {
                (Some(deadline), Request::Scsi(_)) if deadline <= now => late.push(tag),
                (Some(deadline), _) => {
                    self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
                }
                (None, _) => {}
            }
        }
        for task in late {
            self.abort(now, task);
        }
    }

    /// Takes the next harder measure where the target did not answer in time.
    pub(super) fn check_management(&mut self, now: Instant) -> Result<(), ConnectionError> {
        let late: Vec<_> = self
            .tags
            .iter()
            .filter_map(|(tag, request)| match request {
                Request::Management(management) if management.deadline <= now => Some(tag),
                _ => None,
            })
            .collect();
        for tag in late {
            if let Some(Request::Management(management)) = self.tags.remove(tag) {
                self.escalate(now, management)?;
            }
        }
        Ok(())
    }

    fn escalate(&mut self, now: Instant, management: Management) -> Result<(), ConnectionError> {
        match (management.function, management.task) {
            (Function::AbortTask, Some(task)) if self.tags.task(task).is_some() => {
                self.manage(now, Function::LogicalUnitReset, management.lun, Some(task), false);
                Ok(())
            }
            // The status came before the target found an answer to the abort.
            (Function::AbortTask, _) => Ok(()),
            (function, _) => Err(ConnectionError::TaskManagement(function)),
        }
    }

    /// The target's answer to a task management request.
    pub(super) fn handle_management_response(
        &mut self,
        now: Instant,
        pdu: TaskManagementResponse,
    ) -> Result<(), ConnectionError> {
        use TaskManagementResponseCode::{FunctionComplete, LunDoesNotExist, TaskDoesNotExist};
        let tag = pdu.initiator_task_tag;
        let opcode = Opcode::TaskManagementResponse;
        let management = match self.tags.get(tag) {
            Some(Request::Management(management)) => *management,
            Some(other) => {
                return Err(Violation::WrongTaskKind {
                    opcode,
                    tag,
                    is: other.name(),
                }
                .into());
            }
            // It came after we took the next harder measure.
            None if self.tags.has_just_ended(tag) => return Ok(()),
            None => return Err(Violation::UnknownTask { opcode, tag }.into()),
        };
        self.tags.remove(tag);
        let done = match (management.function, pdu.response) {
            (_, FunctionComplete) => true,
            // No such task: either its status is already here, or the target never had it, or it forgot it.
            (Function::AbortTask, TaskDoesNotExist) => true,
            // No unit, no tasks.
            (Function::LogicalUnitReset, LunDoesNotExist) => true,
            _ => false,
        };
        match (management.function, management.task) {
            (Function::AbortTask, Some(task)) if done => self.fail(task, TaskError::Aborted),
            (Function::AbortTask, _) => self.escalate(now, management)?,
            (_, _) if done => self.end_tasks_of(management.lun),
            // A caller that asked for a reset decides itself what a refusal means.
            (_, _) if management.asked => {}
            (function, _) => return Err(ConnectionError::TaskManagement(function)),
        }
        if management.asked {
            self.events.push_back(Event::UnitReset {
                request: tag,
                lun: management.lun,
                done,
            });
        }
        Ok(())
    }

    /// The target rejected a task management request, which is as good as "not supported".
    pub(super) fn handle_rejected_management(
        &mut self,
        now: Instant,
        tag: InitiatorTaskTag,
    ) -> Result<(), ConnectionError> {
        let Some(Request::Management(management)) = self.tags.remove(tag) else {
            return Ok(());
        };
        if management.asked {
            self.events.push_back(Event::UnitReset {
                request: tag,
                lun: management.lun,
                done: false,
            });
            return Ok(());
        }
        self.escalate(now, management)
    }

    fn end_tasks_of(&mut self, lun: LunField) {
        let ended: Vec<_> = self
            .tags
            .iter()
            .filter(|(_, request)| {
                matches!(request, Request::Scsi(task) if task.cmd_sn.is_some() && task.command.lun == lun)
            })
            .map(|(tag, _)| tag)
            .collect();
        for task in ended {
            self.fail(task, TaskError::Aborted);
        }
    }
}
