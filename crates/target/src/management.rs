//! Task management (RFC 7143 11.5): what is aborted, and when the answer may go out.

use crate::connection::{Connection, Wire};
use crate::lun::Lun;
use crate::sync::{lock, read, write};
use longshore_iscsi::pdu::{
    LunField, TaskManagementFunction as Function, TaskManagementResponseCode as Code,
};
use longshore_iscsi::target::TaskManagement;
use longshore_scsi::Lun as LunBytes;
use longshore_scsi::sense::Asc;
use std::sync::Arc;

impl Connection {
    /// Aborts what is to be aborted at once, and answers when the I/O that had begun has ended.
    pub(crate) fn task_management(self: &Arc<Self>, wire: &mut Wire, request: &TaskManagement) {
        let Some((target, session)) = &self.place else {
            return;
        };
        let tag = request.tag;
        let lun = LunBytes::from_bytes(request.lun.0)
            .number()
            .and_then(|number| target.lun(number));
        let answer = |wire: &mut Wire, code| wire.machine.respond_management(tag, code);
        match (request.function, lun) {
            (Function::AbortTask, _) if request.aborted.is_none() => answer(wire, Code::TaskDoesNotExist),
            (Function::AbortTask, Some(lun)) => {
                if let Some(task) = &request.aborted {
                    lock(&self.jobs).remove(task);
                }
                self.forget_aborted(wire);
                self.answer_when_quiet(wire, request, vec![lun]);
            }
            (Function::AbortTaskSet, Some(lun)) => {
                lock(&lun.unit).abort_commands_of(session.nexus);
                self.abort_own(wire, Some(request.lun));
                self.answer_when_quiet(wire, request, vec![lun]);
            }
            (Function::ClearTaskSet, Some(lun)) => {
                {
                    let mut unit = lock(&lun.unit);
                    let all: Vec<_> = unit.nexuses().collect();
                    all.into_iter().for_each(|nexus| unit.abort_commands_of(nexus));
                    unit.raise(Asc::COMMANDS_CLEARED_BY_ANOTHER_INITIATOR, Some(session.nexus));
                }
                self.abort_own(wire, Some(request.lun));
                self.answer_when_quiet(wire, request, vec![lun]);
            }
            (Function::LogicalUnitReset, Some(lun)) => {
                lock(&lun.unit).reset(Asc::BUS_DEVICE_RESET);
                self.abort_own(wire, Some(request.lun));
                self.answer_when_quiet(wire, request, vec![lun]);
            }
            (Function::TargetWarmReset | Function::TargetColdReset, _) => {
                let luns: Vec<Arc<Lun>> = read(&target.luns).values().cloned().collect();
                luns.iter()
                    .for_each(|lun| lock(&lun.unit).reset(Asc::BUS_DEVICE_RESET));
                self.abort_own(wire, None);
                self.answer_when_quiet(wire, request, luns);
            }
            (Function::ClearAca, _) => answer(wire, Code::FunctionNotSupported),
            (Function::TaskReassign, _) => answer(wire, Code::TaskAllegianceReassignmentNotSupported),
            (Function::Other(_), _) => answer(wire, Code::FunctionRejected),
            (_, None) => answer(wire, Code::LunDoesNotExist),
        }
    }

    /// This connection's commands are not answered any more; those of others are, with TASK ABORTED.
    fn abort_own(&self, wire: &mut Wire, lun: Option<LunField>) {
        wire.machine.abort_where(|of| lun.is_none_or(|lun| lun == of));
        self.forget_aborted(wire);
    }

    fn forget_aborted(&self, wire: &mut Wire) {
        let Wire {
            incoming, machine, ..
        } = wire;
        incoming.retain(|task, _| machine.is_live(*task));
        lock(&self.jobs).retain(|task| machine.is_live(*task));
    }

    fn answer_when_quiet(self: &Arc<Self>, wire: &mut Wire, request: &TaskManagement, luns: Vec<Arc<Lun>>) {
        let (tag, function) = (request.tag, request.function);
        self.spawn(wire, move |connection| {
            luns.iter().for_each(|lun| drop(write(&lun.gate)));
            {
                let mut wire = lock(&connection.wire);
                wire.machine.respond_management(tag, Code::FunctionComplete);
                connection.send_from_job(&mut wire);
            }
            if function == Function::TargetColdReset {
                if let Some((target, _)) = &connection.place {
                    target.sessions().iter().for_each(|session| session.close());
                }
            }
        });
    }
}
