//! The machine: what it remembers, its sequence numbers, its answers.

use super::Limits;
use super::error::ConnectionError;
use super::event::{Completion, Event, TaskId};
use super::task::Task;
use super::text::TextExchange;
use crate::frame::FrameError;
use crate::params::{Parameters, SessionParameters};
use crate::pdu::{
    Cid, DataIn, DataInStatus, InitiatorTaskTag, LunField, NopIn, Opcode, Pdu, RawPdu, Reject, RejectReason,
    Residual, ScsiResponse, ServiceResponse, TargetTransferTag, TaskManagementResponse,
    TaskManagementResponseCode,
};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// One connection in full feature phase. How it is driven:
///
/// - getters: [`parameters`](Self::parameters), [`is_live`](Self::is_live), [`open_commands`](Self::open_commands);
/// - events in: [`handle_pdu`](Self::handle_pdu), [`handle_frame_error`](Self::handle_frame_error),
///   [`handle_timeout`](Self::handle_timeout);
/// - mutators: [`want_data`](Self::want_data), [`data_in`](Self::data_in), [`respond`](Self::respond),
///   [`abort_where`](Self::abort_where), [`respond_management`](Self::respond_management),
///   [`respond_send_targets`](Self::respond_send_targets);
/// - actions out, after each of the above: [`poll_event`](Self::poll_event) until `None`,
///   [`poll_transmit`](Self::poll_transmit) until `None`, then [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct TargetConnection {
    pub(super) session: SessionParameters,
    pub(super) cid: Cid,
    pub(super) limits: Limits,
    pub(super) exp_cmd_sn: SerialNumber32,
    stat_sn: SerialNumber32,
    /// Open commands that hold a place in the window, and those that do not.
    pub(super) windowed: u32,
    pub(super) immediate: u32,
    pub(super) tasks: HashMap<InitiatorTaskTag, Task>,
    pub(super) serial: u64,
    pub(super) next_transfer_tag: u32,
    /// Solicited bytes that are not here yet.
    pub(super) solicited: u32,
    /// Commands that wait to send an R2T.
    pub(super) waiting: VecDeque<TaskId>,
    pub(super) text: TextExchange,
    pub(super) events: VecDeque<Event>,
    out: VecDeque<RawPdu>,
    last_heard: Instant,
    /// When the ping was sent that waits for an answer.
    ping: Option<Instant>,
    pub(super) over: bool,
}

impl TargetConnection {
    /// A connection whose login has just been answered.
    #[must_use]
    pub fn new(session: SessionParameters, cid: Cid, limits: Limits, now: Instant) -> Self {
        Self {
            exp_cmd_sn: session.cmd_sn,
            stat_sn: session.exp_stat_sn,
            session,
            cid,
            limits,
            windowed: 0,
            immediate: 0,
            tasks: HashMap::new(),
            serial: 0,
            next_transfer_tag: 0,
            solicited: 0,
            waiting: VecDeque::new(),
            text: TextExchange::default(),
            events: VecDeque::new(),
            out: VecDeque::new(),
            last_heard: now,
            ping: None,
            over: false,
        }
    }

    /// What was negotiated.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.session.parameters
    }

    /// Whether the command is still open.
    #[must_use]
    pub fn is_live(&self, task: TaskId) -> bool {
        self.tasks
            .get(&task.tag)
            .is_some_and(|known| known.command.task == task)
    }

    /// How many commands are open.
    #[must_use]
    pub fn open_commands(&self) -> usize {
        self.tasks.len()
    }

    /// Takes a PDU.
    ///
    /// # Errors
    /// [`ConnectionError`]: transmit what is queued, then close the connection.
    pub fn handle_pdu(&mut self, now: Instant, raw: RawPdu) -> Result<(), ConnectionError> {
        if self.over {
            return Ok(()); // after a logout nothing is listened to (§11.14)
        }
        self.heard(now);
        let bhs = raw.bhs;
        let pdu = Pdu::parse(raw).inspect_err(|error| self.reject(error.reject_reason(), &bhs))?;
        match pdu {
            Pdu::ScsiCommand(command) => self.scsi_command(command, &bhs),
            Pdu::DataOut(data) => self.data_out(data),
            Pdu::NopOut(nop) => self.nop_out(nop, &bhs),
            Pdu::TextRequest(text) => self.text_request(text, &bhs),
            Pdu::TaskManagementRequest(request) => self.task_management(request, &bhs),
            Pdu::LogoutRequest(request) => self.logout(request),
            Pdu::SnackRequest(_) => {
                self.reject(RejectReason::SnackReject, &bhs); // nothing is kept at error recovery level 0
                Ok(())
            }
            _ => {
                self.reject(RejectReason::ProtocolError, &bhs);
                Err(ConnectionError::Protocol {
                    what: "it sent a PDU that only targets send, or a login request in full feature phase",
                    section: "11.2.1.2",
                })
            }
        }
    }

    /// Takes what the decoder could not deliver. Damaged Data-Out costs its command only; anything else ends the
    /// connection (§7.7, §7.8).
    ///
    /// # Errors
    /// [`ConnectionError::Frame`].
    pub fn handle_frame_error(&mut self, now: Instant, error: FrameError) -> Result<(), ConnectionError> {
        let FrameError::DataDigest { bhs } = &error else {
            return Err(error.into());
        };
        self.heard(now);
        self.reject(RejectReason::DataDigestError, bhs);
        if bhs[0] & 0x3f != Opcode::DataOut.bits() {
            return Err(error.into());
        }
        self.lost_data_out(bhs)
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`ConnectionError::Dead`] when a ping was not answered in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        match self.ping {
            Some(since) if now >= since + self.limits.ping_timeout => Err(ConnectionError::Dead {
                waited: now.saturating_duration_since(since),
            }),
            None if !self.limits.ping_after.is_zero() && now >= self.last_heard + self.limits.ping_after => {
                let tag = self.transfer_tag();
                self.ping = Some(now);
                self.send_nop_in(InitiatorTaskTag::RESERVED, tag, Bytes::new());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.ping {
            Some(since) => Some(since + self.limits.ping_timeout),
            None if self.limits.ping_after.is_zero() || self.over => None,
            None => Some(self.last_heard + self.limits.ping_after),
        }
    }

    /// The next thing for the driver to do.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next PDU to send.
    pub fn poll_transmit(&mut self) -> Option<RawPdu> {
        self.out.pop_front()
    }

    /// Sends the next piece of a command's Data-In. Pieces come in order; what lies beyond the initiator's expected
    /// length is not sent. With `finish` the command ends with it, and GOOD status travels with the last PDU: then
    /// `transfer_len` is what the command had to transfer. Gives `false` if the command is not open any more.
    pub fn data_in(&mut self, task: TaskId, mut data: Bytes, finish: Option<u64>) -> bool {
        let Some(known) = self
            .tasks
            .get_mut(&task.tag)
            .filter(|known| known.command.task == task)
        else {
            return false;
        };
        let room = known.command.data_in_room() - known.sent;
        data.truncate(room as usize);
        if data.is_empty() {
            if let Some(transfer_len) = finish {
                self.respond(task, Completion::good(transfer_len));
            }
            return true;
        }
        let Some(mut known) = self.tasks.remove(&task.tag) else {
            return false;
        };
        if finish.is_some() {
            self.leave(&known);
        }
        while !data.is_empty() {
            let piece = self.next_piece(&mut known, &mut data);
            let ends = data.is_empty();
            let status = finish.filter(|_| ends);
            let pdu = self.data_in_pdu(&mut known, piece, ends && finish.is_some(), status);
            self.out.push_back(pdu.into_raw());
        }
        if finish.is_none() {
            self.tasks.insert(task.tag, known);
        }
        true
    }

    fn next_piece(&self, known: &mut Task, data: &mut Bytes) -> Bytes {
        let parameters = &self.session.parameters;
        let burst_left = parameters.max_burst_length - known.burst;
        let len = data
            .len()
            .min(parameters.max_send_data_segment_length as usize)
            .min(burst_left as usize);
        data.split_to(len)
    }

    fn data_in_pdu(
        &mut self,
        known: &mut Task,
        data: Bytes,
        last: bool,
        transfer_len: Option<u64>,
    ) -> DataIn {
        let offset = known.sent;
        known.sent += data.len() as u32;
        known.burst += data.len() as u32;
        let burst_ends = known.burst >= self.session.parameters.max_burst_length;
        if burst_ends {
            known.burst = 0;
        }
        let data_sn = known.data_sn;
        known.data_sn = data_sn.next();
        let status = transfer_len.map(|transfer_len| DataInStatus {
            status: 0,
            stat_sn: self.take_stat_sn(),
            residual: residual(known.command.expected_len, transfer_len),
        });
        DataIn {
            final_bit: last || burst_ends || known.sent == known.command.data_in_room(),
            acknowledge: false,
            status,
            lun: LunField::default(),
            initiator_task_tag: known.command.task.tag,
            target_transfer_tag: TargetTransferTag::RESERVED,
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            data_sn,
            buffer_offset: offset,
            data,
        }
    }

    /// Ends a command. While a sequence of its Data-Out is under way, the answer waits for its end. A command that is
    /// not open any more is not answered: it was aborted.
    pub fn respond(&mut self, task: TaskId, completion: Completion) {
        let Some(known) = self
            .tasks
            .get_mut(&task.tag)
            .filter(|known| known.command.task == task)
        else {
            return;
        };
        if known.sequence.is_some() {
            known.held = Some(completion);
            return;
        }
        let Some(known) = self.tasks.remove(&task.tag) else {
            return;
        };
        self.leave(&known);
        let response = ScsiResponse {
            response: ServiceResponse::CommandCompleted,
            status: completion.status,
            initiator_task_tag: task.tag,
            snack_tag: 0,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            exp_data_sn: known.data_sn.advance(known.r2t_sn.0),
            residual: residual(known.command.expected_len, completion.transfer_len),
            bidirectional_read_residual: Residual::None,
            sense: completion.sense,
            response_data: Bytes::new(),
        };
        self.out.push_back(response.into_raw());
    }

    /// Forgets all commands to a logical unit that `chosen` picks; they are not answered.
    pub fn abort_where(&mut self, mut chosen: impl FnMut(LunField) -> bool) {
        let tags: Vec<InitiatorTaskTag> = self
            .tasks
            .iter()
            .filter(|(_, task)| chosen(task.command.lun))
            .map(|(tag, _)| *tag)
            .collect();
        for tag in tags {
            self.abort(tag);
        }
        self.ask_for_data();
    }

    pub(super) fn abort(&mut self, tag: InitiatorTaskTag) -> Option<TaskId> {
        let task = self.tasks.remove(&tag)?;
        if let Some(sequence) = task
            .sequence
            .filter(|sequence| !sequence.transfer_tag.is_reserved())
        {
            self.solicited = self
                .solicited
                .saturating_sub(sequence.end.saturating_sub(task.received));
        }
        self.leave(&task);
        Some(task.command.task)
    }

    /// Answers a task management request.
    pub fn respond_management(&mut self, tag: InitiatorTaskTag, response: TaskManagementResponseCode) {
        self.immediate = self.immediate.saturating_sub(1);
        let response = TaskManagementResponse {
            response,
            initiator_task_tag: tag,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
        };
        self.out.push_back(response.into_raw());
    }

    /// MaxCmdSN: as far ahead as there are places left. It never goes back, because a command takes its place when
    /// ExpCmdSN passes it.
    pub(super) fn max_cmd_sn(&self) -> SerialNumber32 {
        let free = self.limits.command_window.saturating_sub(self.windowed);
        self.exp_cmd_sn.advance(free).retreat(1)
    }

    pub(super) fn take_stat_sn(&mut self) -> SerialNumber32 {
        let stat_sn = self.stat_sn;
        self.stat_sn = stat_sn.next();
        stat_sn
    }

    pub(super) fn transfer_tag(&mut self) -> TargetTransferTag {
        self.next_transfer_tag = self.next_transfer_tag.wrapping_add(1);
        if TargetTransferTag(self.next_transfer_tag).is_reserved() {
            self.next_transfer_tag = 0;
        }
        TargetTransferTag(self.next_transfer_tag)
    }

    /// The command's place is free again.
    fn leave(&mut self, task: &Task) {
        if task.queued {
            self.waiting.retain(|waiting| *waiting != task.command.task);
        }
        if task.windowed {
            self.windowed -= 1;
        } else {
            self.immediate = self.immediate.saturating_sub(1);
        }
    }

    pub(super) fn send(&mut self, pdu: impl Into<RawPdu>) {
        self.out.push_back(pdu.into());
    }

    pub(super) fn send_nop_in(
        &mut self,
        tag: InitiatorTaskTag,
        transfer_tag: TargetTransferTag,
        data: Bytes,
    ) {
        let stat_sn = if tag.is_reserved() {
            self.stat_sn
        } else {
            self.take_stat_sn()
        };
        let nop = NopIn {
            lun: LunField::default(),
            initiator_task_tag: tag,
            target_transfer_tag: transfer_tag,
            stat_sn,
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            data,
        };
        self.send(nop);
    }

    /// Whatever the initiator sends proves that it is alive.
    fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.ping = None;
    }

    pub(super) fn next_stat_sn(&self) -> SerialNumber32 {
        self.stat_sn
    }

    pub(super) fn reject(&mut self, reason: RejectReason, bhs: &[u8; 48]) {
        let reject = Reject {
            reason,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            data_sn_or_r2t_sn: SerialNumber32(0),
            data: Bytes::copy_from_slice(bhs),
        };
        self.send(reject);
    }
}

/// What is left of, or missing in, the expected length (§11.4.5).
fn residual(expected_len: u32, transfer_len: u64) -> Residual {
    let expected = u64::from(expected_len);
    let saturated = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    match transfer_len {
        len if len > expected => Residual::Overflow(saturated(len - expected)),
        len if len < expected => Residual::Underflow(saturated(expected - len)),
        _ => Residual::None,
    }
}
