//! What leaves, in which order: answers and management first, then data that was promised, then new commands.

use super::tags::Request;
use super::task::Burst;
use super::{Connection, Function, TaskData};
use crate::pdu::{
    Cid, DataOut, InitiatorTaskTag, LogoutReason, LogoutRequest, LunField, NopOut, RawPdu, ScsiCommand,
    TargetTransferTag, TaskManagementRequest, TextRequest,
};
use crate::serial::SerialNumber32;
use bytes::Bytes;

/// A PDU that goes out as an immediate one, outside of the command window. Numbers are filled in when it leaves.
#[derive(Debug)]
pub(super) enum Control {
    /// The answer to a NOP-In.
    Pong {
        lun: LunField,
        target_transfer_tag: TargetTransferTag,
    },
    /// Our own NOP-Out.
    Ping {
        tag: InitiatorTaskTag,
    },
    Management {
        tag: InitiatorTaskTag,
    },
    Text {
        tag: InitiatorTaskTag,
        lun: LunField,
        target_transfer_tag: TargetTransferTag,
        pairs: Bytes,
    },
    Logout {
        tag: InitiatorTaskTag,
    },
}

impl Control {
    pub(super) fn first_text(tag: InitiatorTaskTag, pairs: Bytes) -> Self {
        let target_transfer_tag = TargetTransferTag::RESERVED;
        Control::Text {
            tag,
            lun: LunField::default(),
            target_transfer_tag,
            pairs,
        }
    }
}

impl Connection {
    /// The next PDU to send, if any.
    pub fn poll_transmit(&mut self) -> Option<RawPdu> {
        while let Some(control) = self.control.pop_front() {
            if let Some(pdu) = self.control_pdu(control) {
                return Some(pdu);
            }
        }
        if let Some(pdu) = self.next_data_out() {
            return Some(pdu.into_raw());
        }
        self.next_command().map(ScsiCommand::into_raw)
    }

    /// `None` when what the PDU is about is over.
    fn control_pdu(&self, control: Control) -> Option<RawPdu> {
        let (cmd_sn, exp_stat_sn) = (self.window.cmd_sn(), self.exp_stat_sn);
        let nop = |lun, initiator_task_tag, target_transfer_tag| NopOut {
            immediate: true,
            lun,
            initiator_task_tag,
            target_transfer_tag,
            cmd_sn,
            exp_stat_sn,
            data: Bytes::new(),
        };
        Some(match control {
            Control::Pong {
                lun,
                target_transfer_tag,
            } => nop(lun, InitiatorTaskTag::RESERVED, target_transfer_tag).into_raw(),
            Control::Ping { tag } => nop(LunField::default(), tag, TargetTransferTag::RESERVED).into_raw(),
            Control::Management { tag } => self.management_request(tag)?.into_raw(),
            Control::Text {
                tag,
                lun,
                target_transfer_tag,
                pairs,
            } => TextRequest {
                immediate: true,
                final_bit: true,
                continue_bit: false,
                lun,
                initiator_task_tag: tag,
                target_transfer_tag,
                cmd_sn,
                exp_stat_sn,
                data: pairs,
            }
            .into_raw(),
            Control::Logout { tag } => LogoutRequest {
                immediate: true,
                reason: LogoutReason::CloseSession,
                initiator_task_tag: tag,
                cid: Cid(0),
                cmd_sn,
                exp_stat_sn,
            }
            .into_raw(),
        })
    }

    fn management_request(&self, tag: InitiatorTaskTag) -> Option<TaskManagementRequest> {
        let Some(Request::Management(management)) = self.tags.get(tag) else {
            return None;
        };
        let aborted = management
            .task
            .filter(|_| management.function == Function::AbortTask);
        let ref_cmd_sn = aborted.and_then(|task| self.tags.task(task)?.cmd_sn);
        Some(TaskManagementRequest {
            immediate: true,
            function: management.function,
            lun: management.lun,
            initiator_task_tag: tag,
            referenced_task_tag: aborted.unwrap_or(InitiatorTaskTag::RESERVED),
            cmd_sn: self.window.cmd_sn(),
            exp_stat_sn: self.exp_stat_sn,
            ref_cmd_sn: ref_cmd_sn.unwrap_or_default(),
            exp_data_sn: SerialNumber32(0),
        })
    }

    /// The next Data-Out of the burst at the front. Bursts of tasks that are over are dropped.
    fn next_data_out(&mut self) -> Option<DataOut> {
        let longest = self.parameters.max_send_data_segment_length.max(1);
        loop {
            let burst = self.bursts.front_mut()?;
            let Some(task) = self.tags.task_mut(burst.task) else {
                self.bursts.pop_front();
                continue;
            };
            let len = burst.left.min(longest);
            let solicited = !burst.target_transfer_tag.is_reserved();
            let start = burst.offset as usize;
            let pdu = DataOut {
                final_bit: len == burst.left,
                // The LUN belongs to the Target Transfer Tag (§11.7.4); without one the field is reserved.
                lun: if solicited {
                    task.command.lun
                } else {
                    LunField::default()
                },
                initiator_task_tag: burst.task,
                target_transfer_tag: burst.target_transfer_tag,
                exp_stat_sn: self.exp_stat_sn,
                data_sn: SerialNumber32(burst.data_sn),
                buffer_offset: burst.offset,
                data: task.out().slice(start..start + len as usize),
            };
            burst.offset += len;
            burst.left -= len;
            burst.data_sn += 1;
            task.note_sent(len, pdu.final_bit && solicited);
            if pdu.final_bit {
                self.bursts.pop_front();
            }
            return Some(pdu);
        }
    }

    /// The next command, if the window is open.
    fn next_command(&mut self) -> Option<ScsiCommand> {
        if !self.window.is_open() {
            return None;
        }
        let tag = self.waiting.pop_front()?;
        let cmd_sn = self.window.take();
        let (immediate_len, unsolicited_len) = self.first_burst(tag);
        let task = self.tags.task_mut(tag)?;
        task.cmd_sn = Some(cmd_sn);
        task.promise_unsolicited(immediate_len + unsolicited_len);
        task.note_sent(immediate_len, false);
        if unsolicited_len > 0 {
            self.bursts.push_back(Burst {
                task: tag,
                target_transfer_tag: TargetTransferTag::RESERVED,
                offset: immediate_len,
                left: unsolicited_len,
                data_sn: 0,
            });
        }
        Some(ScsiCommand {
            immediate: false,
            final_bit: unsolicited_len == 0,
            read: matches!(task.command.data, TaskData::In(_)),
            write: matches!(task.command.data, TaskData::Out(_)),
            attribute: task.command.attribute,
            lun: task.command.lun,
            initiator_task_tag: tag,
            expected_data_transfer_length: task.expected_len(),
            cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
            cdb: task.command.cdb,
            extended_cdb: Bytes::new(),
            bidirectional_read_length: None,
            data: task.out().slice(..immediate_len as usize),
        })
    }

    /// How much of a write goes with the command, and how much follows without an R2T (§13.10, §13.11, §13.14).
    fn first_burst(&self, tag: InitiatorTaskTag) -> (u32, u32) {
        let Some(task) = self.tags.task(tag) else {
            return (0, 0);
        };
        if !matches!(task.command.data, TaskData::Out(_)) {
            return (0, 0);
        }
        let parameters = &self.parameters;
        let first_burst = task.expected_len().min(parameters.first_burst_length);
        let immediate = match parameters.immediate_data {
            true => first_burst.min(parameters.max_send_data_segment_length),
            false => 0,
        };
        let unsolicited = if parameters.initial_r2t {
            0
        } else {
            first_burst - immediate
        };
        (immediate, unsolicited)
    }
}
