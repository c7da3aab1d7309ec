//! What arrives: each PDU of the target, checked against what is under way.

use super::tags::Request;
use super::task::{Arrived, Burst, Task, Wanted};
use super::text::Progress;
use super::transmit::Control;
use super::{Connection, ConnectionError, Event, TaskError, Violation};
use crate::frame::FrameError;
use crate::pdu::{
    AsyncEvent, AsyncMessage, Bhs, DataIn, InitiatorTaskTag, LogoutResponse, LogoutResponseCode, NopIn,
    Opcode, R2t, RawPdu, Reject, RejectReason, Residual, ScsiResponse, ServiceResponse,
    TaskManagementResponse, TextResponse,
};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::time::Instant;

/// The most NOP-Ins that may wait for our answer.
const PONGS_MAX: usize = 64;

impl Connection {
    /// Takes a PDU of the target.
    ///
    /// # Errors
    /// [`ConnectionError`]: the connection is dead.
    pub fn handle_pdu(&mut self, now: Instant, raw: RawPdu) -> Result<(), ConnectionError> {
        self.keepalive.note_activity(now);
        let Some(opcode) = raw.opcode() else {
            return Err(Violation::UnknownOpcode(raw.opcode_bits()).into());
        };
        match opcode {
            Opcode::DataIn => {
                let len = raw.data.len() as u32;
                self.handle_data_in(DataIn::parse(raw)?, len, false)
            }
            Opcode::ScsiResponse => self.handle_scsi_response(ScsiResponse::parse(raw)?, false),
            Opcode::R2t => self.handle_r2t(R2t::parse(raw)?),
            Opcode::NopIn => self.handle_nop_in(NopIn::parse(raw)?),
            Opcode::TaskManagementResponse => {
                let pdu = TaskManagementResponse::parse(raw)?;
                self.note_status(pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn)?;
                self.handle_management_response(now, pdu)
            }
            Opcode::TextResponse => self.handle_text(TextResponse::parse(raw)?),
            Opcode::LogoutResponse => self.handle_logout_response(LogoutResponse::parse(raw)?),
            Opcode::AsyncMessage => self.handle_async(AsyncMessage::parse(raw)?),
            Opcode::Reject => self.handle_reject(now, Reject::parse(raw)?),
            other => Err(Violation::UnexpectedPdu(other).into()),
        }
    }

    /// Takes what the decoder says in place of a PDU. A damaged data segment costs one task; anything else ends the
    /// connection (§7.8, error recovery level 0).
    ///
    /// # Errors
    /// [`ConnectionError`]: the connection is dead.
    pub fn handle_frame_error(&mut self, now: Instant, error: FrameError) -> Result<(), ConnectionError> {
        let FrameError::DataDigest { bhs } = error else {
            return Err(error.into());
        };
        self.keepalive.note_activity(now);
        let len = u32::from_be_bytes([0, bhs[5], bhs[6], bhs[7]]);
        let raw = RawPdu {
            bhs,
            ahs: Bytes::new(),
            data: Bytes::new(),
        };
        match raw.opcode() {
            Some(Opcode::DataIn) => self.handle_data_in(DataIn::parse(raw)?, len, true),
            Some(Opcode::ScsiResponse) => self.handle_scsi_response(ScsiResponse::parse(raw)?, true),
            Some(other) => Err(ConnectionError::DataDigest(other)),
            None => Err(Violation::UnknownOpcode(raw.opcode_bits()).into()),
        }
    }

    /// StatSN of a PDU that uses one up: none may be missing, since at error recovery level 0 nobody sends it again.
    fn note_status(
        &mut self,
        stat_sn: SerialNumber32,
        exp_cmd_sn: SerialNumber32,
        max_cmd_sn: SerialNumber32,
    ) -> Result<(), Violation> {
        if stat_sn != self.exp_stat_sn {
            return Err(Violation::StatSn {
                expected: self.exp_stat_sn.0,
                got: stat_sn.0,
            });
        }
        self.exp_stat_sn = stat_sn.next();
        self.window.update(exp_cmd_sn, max_cmd_sn);
        Ok(())
    }

    /// Why `tag` is not what `opcode` needs it to be.
    fn wrong_tag(&self, opcode: Opcode, tag: InitiatorTaskTag) -> ConnectionError {
        match self.tags.get(tag) {
            Some(other) => Violation::WrongTaskKind {
                opcode,
                tag,
                is: other.name(),
            }
            .into(),
            None if opcode == Opcode::R2t && self.tags.has_just_ended(tag) => {
                Violation::R2tAfterResponse { tag }.into()
            }
            None => Violation::UnknownTask { opcode, tag }.into(),
        }
    }

    fn handle_data_in(&mut self, pdu: DataIn, len: u32, damaged: bool) -> Result<(), ConnectionError> {
        let tag = pdu.initiator_task_tag;
        let Some(task) = self.tags.task_mut(tag) else {
            return Err(self.wrong_tag(Opcode::DataIn, tag));
        };
        let data = (!damaged).then_some(pdu.data);
        let arrived = Arrived {
            data_sn: pdu.data_sn.0,
            offset: pdu.buffer_offset,
            len,
            data,
        };
        task.take_data_in(tag, arrived)?;
        match pdu.status {
            Some(status) => {
                self.note_status(status.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn)?;
                self.complete(tag, status.status, Bytes::new(), status.residual);
            }
            None => self.window.update(pdu.exp_cmd_sn, pdu.max_cmd_sn),
        }
        Ok(())
    }

    fn handle_scsi_response(&mut self, pdu: ScsiResponse, damaged: bool) -> Result<(), ConnectionError> {
        let tag = pdu.initiator_task_tag;
        if self.tags.task(tag).is_none_or(|task| task.cmd_sn.is_none()) {
            return Err(self.wrong_tag(Opcode::ScsiResponse, tag));
        }
        self.note_status(pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn)?;
        if pdu.response != ServiceResponse::CommandCompleted {
            self.fail(tag, TaskError::TargetFailure);
        } else if damaged {
            self.fail(tag, TaskError::SenseLost);
        } else {
            self.complete(tag, pdu.status, pdu.sense, pdu.residual);
        }
        Ok(())
    }

    /// Hands out a task's status, unless its data came damaged.
    fn complete(&mut self, tag: InitiatorTaskTag, status: u8, sense: Bytes, residual: Residual) {
        let Some(Request::Scsi(task)) = self.tags.remove(tag) else {
            return;
        };
        let result = match task.is_damaged() {
            true => Err(TaskError::DataDigest),
            false => Ok(Task::complete(task, status, sense, residual)),
        };
        self.events.push_back(Event::Completed { task: tag, result });
    }

    fn handle_r2t(&mut self, pdu: R2t) -> Result<(), ConnectionError> {
        self.window.update(pdu.exp_cmd_sn, pdu.max_cmd_sn);
        let tag = pdu.initiator_task_tag;
        let (max_burst, max_open) = (
            self.parameters.max_burst_length,
            self.parameters.max_outstanding_r2t,
        );
        let Some(task) = self.tags.task_mut(tag) else {
            return Err(self.wrong_tag(Opcode::R2t, tag));
        };
        let (offset, len) = (pdu.buffer_offset, pdu.desired_data_transfer_length);
        task.take_r2t(
            tag,
            Wanted {
                r2t_sn: pdu.r2t_sn.0,
                offset,
                len,
            },
            max_burst,
            max_open,
        )?;
        let target_transfer_tag = pdu.target_transfer_tag;
        self.bursts.push_back(Burst {
            task: tag,
            target_transfer_tag,
            offset,
            left: len,
            data_sn: 0,
        });
        Ok(())
    }

    fn handle_nop_in(&mut self, pdu: NopIn) -> Result<(), ConnectionError> {
        let tag = pdu.initiator_task_tag;
        if tag.is_reserved() {
            // StatSN is the next one, and is not used up.
            self.window.update(pdu.exp_cmd_sn, pdu.max_cmd_sn);
        } else {
            let Some(Request::Ping) = self.tags.get(tag) else {
                return Err(self.wrong_tag(Opcode::NopIn, tag));
            };
            self.note_status(pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn)?;
            self.tags.remove(tag);
            self.keepalive.note_answered();
        }
        if !pdu.target_transfer_tag.is_reserved() {
            let waiting = self
                .control
                .iter()
                .filter(|control| matches!(control, Control::Pong { .. }))
                .count();
            if waiting >= PONGS_MAX {
                return Err(Violation::NopFlood(PONGS_MAX).into());
            }
            let target_transfer_tag = pdu.target_transfer_tag;
            self.control.push_back(Control::Pong {
                lun: pdu.lun,
                target_transfer_tag,
            });
        }
        Ok(())
    }

    fn handle_text(&mut self, pdu: TextResponse) -> Result<(), ConnectionError> {
        let tag = pdu.initiator_task_tag;
        self.note_status(pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn)?;
        let Some(Request::Text(exchange)) = self.tags.get_mut(tag) else {
            return Err(self.wrong_tag(Opcode::TextResponse, tag));
        };
        match exchange.take(&pdu)? {
            Progress::Done(answer) => {
                self.tags.remove(tag);
                self.events.push_back(Event::Text {
                    request: tag,
                    answer: Some(answer),
                });
            }
            Progress::More => {
                let (lun, target_transfer_tag) = (pdu.lun, pdu.target_transfer_tag);
                self.control.push_back(Control::Text {
                    tag,
                    lun,
                    target_transfer_tag,
                    pairs: Bytes::new(),
                });
            }
        }
        Ok(())
    }

    fn handle_logout_response(&mut self, pdu: LogoutResponse) -> Result<(), ConnectionError> {
        let tag = pdu.initiator_task_tag;
        let Some(Request::Logout) = self.tags.get(tag) else {
            return Err(self.wrong_tag(Opcode::LogoutResponse, tag));
        };
        self.note_status(pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn)?;
        self.tags.remove(tag);
        if pdu.response != LogoutResponseCode::Success {
            return Err(ConnectionError::Logout(pdu.response));
        }
        self.events.push_back(Event::LoggedOut);
        Ok(())
    }

    fn handle_async(&mut self, pdu: AsyncMessage) -> Result<(), ConnectionError> {
        self.note_status(pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn)?;
        self.events.push_back(match pdu.event {
            AsyncEvent::Scsi => Event::ScsiEvent {
                lun: pdu.lun,
                sense: pdu.sense,
            },
            AsyncEvent::LogoutRequest { time_s } | AsyncEvent::ParameterNegotiation { time_s } => {
                Event::LogoutRequested {
                    within_seconds: time_s,
                }
            }
            AsyncEvent::ConnectionDrop { time2wait_s, .. } | AsyncEvent::SessionDrop { time2wait_s, .. } => {
                return Err(ConnectionError::Dropped {
                    wait_seconds: time2wait_s,
                });
            }
            AsyncEvent::Other { .. } => Event::Note("an asynchronous message of an unknown kind"),
        });
        Ok(())
    }

    fn handle_reject(&mut self, now: Instant, pdu: Reject) -> Result<(), ConnectionError> {
        self.note_status(pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn)?;
        let Some(bhs) = pdu.rejected_bhs() else {
            self.events
                .push_back(Event::Note("a reject that does not say of what"));
            return Ok(());
        };
        let (opcode, tag) = rejected(bhs);
        match (opcode, self.tags.get(tag)) {
            (Some(Opcode::ScsiCommand), Some(Request::Scsi(_))) => {
                self.fail(tag, TaskError::Rejected(pdu.reason));
            }
            // The target ends the task with a CHECK CONDITION of its own (§11.17.1); until then it stays.
            (Some(Opcode::DataOut), Some(Request::Scsi(_)))
                if pdu.reason == RejectReason::DataDigestError =>
            {
                self.events
                    .push_back(Event::Note("a data digest error in what we sent"));
            }
            (Some(Opcode::DataOut), Some(Request::Scsi(_))) => self.abort(now, tag),
            (_, Some(Request::Management(_))) => self.handle_rejected_management(now, tag)?,
            (_, Some(Request::Text(_))) => {
                self.tags.remove(tag);
                self.events.push_back(Event::Text {
                    request: tag,
                    answer: None,
                });
            }
            // Whoever rejects a ping lives.
            (_, Some(Request::Ping)) => {
                self.tags.remove(tag);
                self.keepalive.note_answered();
            }
            (_, Some(Request::Logout)) => {
                return Err(ConnectionError::Logout(LogoutResponseCode::CleanupFailed));
            }
            _ => self
                .events
                .push_back(Event::Note("a reject of something that is over")),
        }
        Ok(())
    }
}

/// Opcode and tag of a rejected PDU's header.
fn rejected(bhs: &Bhs) -> (Option<Opcode>, InitiatorTaskTag) {
    let tag = u32::from_be_bytes([bhs[16], bhs[17], bhs[18], bhs[19]]);
    (Opcode::from_bits(bhs[0] & 0x3f), InitiatorTaskTag(tag))
}
