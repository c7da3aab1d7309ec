//! Requests of the initiator: commands in CmdSN order, pings, task management, logout.

use super::TargetConnection;
use super::error::ConnectionError;
use super::event::{Command, Event, TaskId, TaskManagement};
use super::task::{Sequence, Task};
use crate::params::SessionType;
use crate::pdu::{
    LogoutReason, LogoutRequest, LogoutResponse, LogoutResponseCode, NopOut, RejectReason, ScsiCommand,
    TargetTransferTag, TaskManagementFunction, TaskManagementRequest,
};
use crate::serial::SerialNumber32;

/// What the sequence number of a request says.
enum Order {
    /// It is its turn.
    Now,
    /// It lies outside the window and is ignored, as §4.2.2.1 demands.
    Ignored,
}

fn protocol<T>(what: &'static str, section: &'static str) -> Result<T, ConnectionError> {
    Err(ConnectionError::Protocol { what, section })
}

impl TargetConnection {
    /// Takes a request's CmdSN. A gap cannot be filled: on one connection, commands are sent in order.
    fn order(&mut self, immediate: bool, cmd_sn: SerialNumber32) -> Result<Order, ConnectionError> {
        if immediate {
            return Ok(Order::Now);
        }
        if !cmd_sn.is_within(self.exp_cmd_sn, self.max_cmd_sn()) {
            return Ok(Order::Ignored);
        }
        if cmd_sn != self.exp_cmd_sn {
            return protocol("it left out a CmdSN", "4.2.2.1");
        }
        Ok(Order::Now)
    }

    /// ExpCmdSN passes a request. One that is answered at once needs no place in the window.
    fn pass(&mut self, immediate: bool) {
        if !immediate {
            self.exp_cmd_sn = self.exp_cmd_sn.next();
        }
    }

    pub(super) fn scsi_command(
        &mut self,
        command: ScsiCommand,
        bhs: &[u8; 48],
    ) -> Result<(), ConnectionError> {
        if let Order::Ignored = self.order(command.immediate, command.cmd_sn)? {
            return Ok(());
        }
        self.pass(command.immediate);
        if self.session.session_type == SessionType::Discovery {
            self.reject(RejectReason::ProtocolError, bhs);
            return protocol("it sent a SCSI command in a discovery session", "4.2.6");
        }
        if self.tasks.contains_key(&command.initiator_task_tag) {
            self.reject(RejectReason::TaskInProgress, bhs);
            return Ok(());
        }
        if command.immediate && self.immediate >= self.limits.immediate_commands {
            self.reject(RejectReason::ImmediateCommandReject, bhs);
            return Ok(());
        }
        if let Err(error) = self.check_unsolicited(&command) {
            self.reject(RejectReason::ProtocolError, bhs);
            return Err(error);
        }
        self.open(command);
        Ok(())
    }

    /// Immediate and unsolicited data only as far as it was negotiated (§13.10, §13.11, §13.14).
    fn check_unsolicited(&self, command: &ScsiCommand) -> Result<(), ConnectionError> {
        let parameters = self.parameters();
        let len = command.data.len() as u64;
        if len > 0 && (!parameters.immediate_data || !command.write) {
            return protocol("it sent immediate data that was not agreed on", "13.11");
        }
        if len
            > u64::from(
                parameters
                    .first_burst_length
                    .min(command.expected_data_transfer_length),
            )
        {
            return protocol(
                "its immediate data is longer than FirstBurstLength or than the transfer",
                "13.14",
            );
        }
        if command.write && !command.final_bit && parameters.initial_r2t {
            return protocol(
                "it announced unsolicited data although InitialR2T is Yes",
                "13.10",
            );
        }
        Ok(())
    }

    fn open(&mut self, pdu: ScsiCommand) {
        self.serial += 1;
        let command = Command {
            task: TaskId {
                tag: pdu.initiator_task_tag,
                serial: self.serial,
            },
            lun: pdu.lun,
            cdb: pdu.cdb,
            attribute: pdu.attribute,
            read: pdu.read,
            write: pdu.write,
            expected_len: pdu.expected_data_transfer_length,
        };
        let mut task = Task::new(command, !pdu.immediate);
        if pdu.immediate {
            self.immediate += 1;
        } else {
            self.windowed += 1;
        }
        task.received = pdu.data.len() as u32;
        if !pdu.data.is_empty() {
            task.immediate_data(pdu.data);
        }
        if pdu.write && !pdu.final_bit {
            let end = self.parameters().first_burst_length.min(command.expected_len);
            task.sequence = Some(Sequence {
                transfer_tag: TargetTransferTag::RESERVED,
                data_sn: SerialNumber32(0),
                end,
            });
        }
        self.tasks.insert(pdu.initiator_task_tag, task);
        self.events.push_back(Event::Command(command));
    }

    pub(super) fn nop_out(&mut self, nop: NopOut, bhs: &[u8; 48]) -> Result<(), ConnectionError> {
        if nop.initiator_task_tag.is_reserved() {
            return Ok(()); // the answer to a ping
        }
        if let Order::Ignored = self.order(nop.immediate, nop.cmd_sn)? {
            return Ok(());
        }
        self.pass(nop.immediate);
        if self.tasks.contains_key(&nop.initiator_task_tag) {
            self.reject(RejectReason::TaskInProgress, bhs);
            return Ok(());
        }
        let mut data = nop.data;
        data.truncate(self.parameters().max_send_data_segment_length as usize);
        self.send_nop_in(nop.initiator_task_tag, TargetTransferTag::RESERVED, data);
        Ok(())
    }

    pub(super) fn task_management(
        &mut self,
        request: TaskManagementRequest,
        bhs: &[u8; 48],
    ) -> Result<(), ConnectionError> {
        if let Order::Ignored = self.order(request.immediate, request.cmd_sn)? {
            return Ok(());
        }
        self.pass(request.immediate);
        if self.session.session_type == SessionType::Discovery {
            self.reject(RejectReason::ProtocolError, bhs);
            return protocol(
                "it sent a task management request in a discovery session",
                "4.2.6",
            );
        }
        if self.immediate >= self.limits.immediate_commands {
            self.reject(RejectReason::ImmediateCommandReject, bhs);
            return Ok(());
        }
        self.immediate += 1; // counted among the immediate ones until it is answered, whatever its I bit
        let aborted = match request.function {
            TaskManagementFunction::AbortTask => self.abort(request.referenced_task_tag),
            _ => None,
        };
        self.events.push_back(Event::TaskManagement(TaskManagement {
            tag: request.initiator_task_tag,
            function: request.function,
            lun: request.lun,
            aborted,
        }));
        self.ask_for_data();
        Ok(())
    }

    pub(super) fn logout(&mut self, request: LogoutRequest) -> Result<(), ConnectionError> {
        if let Order::Ignored = self.order(request.immediate, request.cmd_sn)? {
            return Ok(());
        }
        self.pass(request.immediate);
        let response = match request.reason {
            LogoutReason::CloseConnection if request.cid != self.cid => LogoutResponseCode::CidNotFound,
            LogoutReason::RemoveConnectionForRecovery => LogoutResponseCode::RecoveryNotSupported,
            _ => LogoutResponseCode::Success,
        };
        if response == LogoutResponseCode::Success {
            self.abort_where(|_| true);
            self.over = true;
            self.events.clear();
            self.events.push_back(Event::LoggedOut);
        }
        let seconds = |time: std::time::Duration| u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
        let response = LogoutResponse {
            response,
            initiator_task_tag: request.initiator_task_tag,
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            time2wait_s: seconds(self.parameters().default_time2wait),
            time2retain_s: seconds(self.parameters().default_time2retain),
        };
        self.send(response);
        Ok(())
    }

    pub(super) fn pass_text(
        &mut self,
        immediate: bool,
        cmd_sn: SerialNumber32,
    ) -> Result<bool, ConnectionError> {
        if let Order::Ignored = self.order(immediate, cmd_sn)? {
            return Ok(false);
        }
        self.pass(immediate);
        Ok(true)
    }
}
