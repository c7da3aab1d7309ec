//! Data-Out: unsolicited data, R2Ts within the connection's budget, and handing the bytes over (§11.7, §11.8).

use super::TargetConnection;
use super::error::ConnectionError;
use super::event::{Event, TaskId};
use super::task::{Sequence, Task};
use crate::pdu::{DataOut, InitiatorTaskTag, R2t};
use crate::serial::SerialNumber32;
use bytes::Bytes;

/// So much is handed over before its sequence has ended, so that a long burst does not wait in memory.
const HAND_OVER_LEN: usize = 256 << 10;

impl Task {
    /// Data that came with the command. If it is all, it is handed over as it was received.
    pub(super) fn immediate_data(&mut self, data: Bytes) {
        self.gather.hold_as_received(data);
    }

    /// Hands over what is here and wanted, with `data` behind it.
    fn hand_over(&mut self, data: Bytes, last: bool) -> Option<Event> {
        let wanted = self.wanted?;
        let offset = self.delivered;
        if offset >= wanted {
            return None; // the initiator sends more than is wanted
        }
        let mut left = (wanted - offset) as usize;
        let mut segments = self.gather.take_with(data);
        segments.retain_mut(|segment| {
            segment.truncate(left);
            left -= segment.len();
            !segment.is_empty()
        });
        self.delivered = wanted - left as u32;
        let last = last || left == 0;
        (!segments.is_empty() || last).then_some(Event::Data {
            task: self.command.task,
            offset,
            segments,
            last,
        })
    }

    /// No sequence is under way and all that is wanted is here.
    fn is_complete(&self) -> bool {
        self.sequence.is_none() && self.wanted.is_some_and(|wanted| self.received >= wanted)
    }
}

impl TargetConnection {
    /// Asks for the first `len` bytes of a command's Data-Out; they come as [`Event::Data`], the last of them
    /// with `last`. At most the expected length is asked for: the caller compares. Called once per command, with
    /// `len` > 0.
    pub fn want_data(&mut self, task: TaskId, len: u32) {
        let Some(known) = self
            .tasks
            .get_mut(&task.tag)
            .filter(|known| known.command.task == task)
        else {
            return;
        };
        known.wanted = Some(len.min(known.command.data_out_len()));
        if known.is_complete() {
            self.events.extend(known.hand_over(Bytes::new(), true));
        } else if known.sequence.is_none() {
            self.queue_r2t(task);
        }
    }

    fn queue_r2t(&mut self, task: TaskId) {
        if let Some(known) = self.tasks.get_mut(&task.tag) {
            if !known.queued {
                known.queued = true;
                self.waiting.push_back(task);
            }
        }
        self.ask_for_data();
    }

    /// Sends R2Ts as long as the budget lasts, each command in turn.
    pub(super) fn ask_for_data(&mut self) {
        while let Some(&task) = self.waiting.front() {
            if !self.is_live(task) {
                self.waiting.pop_front();
                continue;
            }
            let max_burst = self.parameters().max_burst_length;
            let Some(known) = self.tasks.get_mut(&task.tag) else {
                continue;
            };
            let len = known
                .wanted
                .unwrap_or(0)
                .saturating_sub(known.received)
                .min(max_burst);
            if len > 0 && self.solicited > 0 && self.solicited + len > self.limits.solicited_bytes {
                return;
            }
            known.queued = false;
            self.waiting.pop_front();
            if len > 0 && known.held.is_none() {
                self.send_r2t(task, len);
            }
        }
    }

    fn send_r2t(&mut self, task: TaskId, len: u32) {
        let target_transfer_tag = self.transfer_tag();
        let (exp_cmd_sn, max_cmd_sn, stat_sn) = (self.exp_cmd_sn, self.max_cmd_sn(), self.next_stat_sn());
        let Some(known) = self.tasks.get_mut(&task.tag) else {
            return;
        };
        let r2t = R2t {
            lun: known.command.lun,
            initiator_task_tag: task.tag,
            target_transfer_tag,
            stat_sn,
            exp_cmd_sn,
            max_cmd_sn,
            r2t_sn: known.r2t_sn,
            buffer_offset: known.received,
            desired_data_transfer_length: len,
        };
        known.r2t_sn = known.r2t_sn.next();
        known.sequence = Some(Sequence {
            transfer_tag: target_transfer_tag,
            data_sn: SerialNumber32(0),
            end: known.received + len,
        });
        self.solicited += len;
        self.send(r2t);
    }

    /// Takes Data-Out. For a command that is not open any more it is dropped without a word: it was aborted, or
    /// answered early.
    pub(super) fn data_out(&mut self, pdu: DataOut) -> Result<(), ConnectionError> {
        let Some(task) = self.tasks.get_mut(&pdu.initiator_task_tag) else {
            return Ok(());
        };
        let Some(sequence) = task
            .sequence
            .filter(|s| s.transfer_tag == pdu.target_transfer_tag)
        else {
            return Ok(());
        };
        let len = pdu.data.len() as u32;
        let end = pdu.buffer_offset.checked_add(len);
        let in_order = pdu.buffer_offset == task.received && pdu.data_sn == sequence.data_sn;
        let fits = end.is_some_and(|end| end <= sequence.end);
        let solicited = !sequence.transfer_tag.is_reserved();
        let complete = !pdu.final_bit || !solicited || end == Some(sequence.end);
        // A PDU is missing, or what came is not what was asked for: the command fails, as after a digest error
        // (§7.9).
        task.damaged |= !in_order || !fits || !complete;
        let tag = pdu.initiator_task_tag;
        self.count(tag, sequence, len, pdu.final_bit);
        self.take_data(tag, pdu.data, pdu.final_bit);
        Ok(())
    }

    /// Counts the bytes of a PDU, and at the end of its sequence those that never came.
    fn count(&mut self, tag: InitiatorTaskTag, sequence: Sequence, len: u32, sequence_ends: bool) {
        let Some(task) = self.tasks.get_mut(&tag) else {
            return;
        };
        let missing = sequence.end.saturating_sub(task.received);
        let counted = if sequence_ends { missing } else { len.min(missing) };
        task.received += len.min(missing);
        task.sequence = Some(Sequence {
            data_sn: sequence.data_sn.next(),
            ..sequence
        });
        if !sequence.transfer_tag.is_reserved() {
            self.solicited = self.solicited.saturating_sub(counted);
        }
    }

    /// Holds or hands over bytes that are in order.
    fn take_data(&mut self, tag: InitiatorTaskTag, data: Bytes, sequence_ends: bool) {
        let Some(task) = self.tasks.get_mut(&tag) else {
            return;
        };
        let unwanted = task.held.is_some() || task.damaged;
        if sequence_ends {
            task.sequence = None;
            if let Some(completion) = task.held.take() {
                let id = task.command.task;
                self.respond(id, completion);
                self.ask_for_data();
                return;
            }
            if task.damaged {
                self.events.push_back(Event::DataLost {
                    task: task.command.task,
                });
                self.ask_for_data();
                return;
            }
            let complete = task.is_complete();
            self.events.extend(task.hand_over(data.clone(), complete));
            if task.wanted.is_none() {
                task.gather.hold(&data);
            } else if !complete {
                let id = task.command.task;
                self.queue_r2t(id);
            }
            self.ask_for_data();
        } else if !unwanted {
            let held = task.gather.len() + data.len();
            if task.wanted.is_some() && held >= HAND_OVER_LEN {
                self.events.extend(task.hand_over(data, false));
            } else {
                task.gather.hold(&data);
            }
        }
    }

    /// A Data-Out PDU whose data did not survive the way: its command fails once the sequence has ended.
    pub(super) fn lost_data_out(&mut self, bhs: &[u8; 48]) -> Result<(), ConnectionError> {
        let field = |at: usize| u32::from_be_bytes([bhs[at], bhs[at + 1], bhs[at + 2], bhs[at + 3]]);
        let tag = InitiatorTaskTag(field(16));
        let len = field(4) & 0x00ff_ffff;
        let Some(task) = self.tasks.get_mut(&tag) else {
            return Ok(());
        };
        let Some(sequence) = task.sequence.filter(|s| s.transfer_tag.0 == field(20)) else {
            return Ok(());
        };
        task.damaged = true;
        let sequence_ends = bhs[1] & 0x80 != 0;
        self.count(tag, sequence, len, sequence_ends);
        self.take_data(tag, Bytes::new(), sequence_ends);
        Ok(())
    }
}
