//! Code fields of PDUs by the RFC's names; codes that the RFC does not define are kept as `Other`.

use std::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* #[doc = $text] $variant,)+
            /// A code without a meaning in the RFC.
            Other(u8),
        }

        impl $name {
            /// The meaning of the code.
            pub const fn from_code(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            /// The code on the wire.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Other(code) => code,
                }
            }

            /// True when the RFC gives the code a meaning.
            pub const fn is_defined(self) -> bool {
                !matches!(self, Self::Other(_))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($text),)+
                    Self::Other(code) => write!(f, "unknown code {code:#04x}"),
                }
            }
        }
    };
}

codes! {
    /// How a command is ordered among the others of its logical unit (§11.3.1).
    TaskAttribute {
        Untagged = 0, "untagged";
        Simple = 1, "simple";
        Ordered = 2, "ordered";
        HeadOfQueue = 3, "head of queue";
        Aca = 4, "ACA";
    }
}

codes! {
    /// Whether a target carried out the delivery of a command (§11.4.3).
    ServiceResponse {
        CommandCompleted = 0x00, "command completed at target";
        TargetFailure = 0x01, "target failure";
    }
}

codes! {
    /// What a task management request asks for (§11.5.1).
    TaskManagementFunction {
        AbortTask = 1, "ABORT TASK";
        AbortTaskSet = 2, "ABORT TASK SET";
        ClearAca = 3, "CLEAR ACA";
        ClearTaskSet = 4, "CLEAR TASK SET";
        LogicalUnitReset = 5, "LOGICAL UNIT RESET";
        TargetWarmReset = 6, "TARGET WARM RESET";
        TargetColdReset = 7, "TARGET COLD RESET";
        TaskReassign = 8, "TASK REASSIGN";
    }
}

codes! {
    /// The answer to a task management request (§11.6.1).
    TaskManagementResponseCode {
        FunctionComplete = 0, "function complete";
        TaskDoesNotExist = 1, "task does not exist";
        LunDoesNotExist = 2, "LUN does not exist";
        TaskStillAllegiant = 3, "task still allegiant";
        TaskAllegianceReassignmentNotSupported = 4, "task allegiance reassignment not supported";
        FunctionNotSupported = 5, "task management function not supported";
        FunctionAuthorizationFailed = 6, "function authorization failed";
        FunctionRejected = 255, "function rejected";
    }
}

codes! {
    /// Why an initiator logs out (§11.14.1).
    LogoutReason {
        CloseSession = 0, "close the session";
        CloseConnection = 1, "close the connection";
        RemoveConnectionForRecovery = 2, "remove the connection for recovery";
    }
}

codes! {
    /// The answer to a logout (§11.15.1).
    LogoutResponseCode {
        Success = 0, "closed successfully";
        CidNotFound = 1, "CID not found";
        RecoveryNotSupported = 2, "connection recovery not supported";
        CleanupFailed = 3, "cleanup failed";
    }
}

codes! {
    /// What a SNACK asks for or acknowledges (§11.16.1).
    SnackType {
        DataOrR2t = 0, "Data/R2T";
        Status = 1, "Status";
        DataAck = 2, "DataACK";
        RData = 3, "R-Data";
    }
}

codes! {
    /// Why a PDU is rejected (§11.17.1).
    RejectReason {
        DataDigestError = 0x02, "data digest error";
        SnackReject = 0x03, "SNACK reject";
        ProtocolError = 0x04, "protocol error";
        CommandNotSupported = 0x05, "command not supported";
        ImmediateCommandReject = 0x06, "immediate command reject, too many immediate commands";
        TaskInProgress = 0x07, "task in progress";
        InvalidDataAck = 0x08, "invalid data acknowledgement";
        InvalidPduField = 0x09, "invalid PDU field";
        LongOperationReject = 0x0a, "long operation reject, out of resources";
        NegotiationReset = 0x0b, "negotiation reset";
        WaitingForLogout = 0x0c, "waiting for logout";
    }
}
