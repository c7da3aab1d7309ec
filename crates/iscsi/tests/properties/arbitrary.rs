//! Strategies: any legal PDU, any bytes that look like one.

use bytes::Bytes;
use longshore_iscsi::isid::Isid;
use longshore_iscsi::pdu::*;
use longshore_iscsi::serial::SerialNumber32;
use proptest::prelude::*;

/// A header with a known opcode in it more often than chance would have it, and some data.
pub(crate) fn raw_pdu() -> impl Strategy<Value = RawPdu> {
    let opcode = prop_oneof![
        any::<u8>(),
        proptest::sample::select(Opcode::ALL.to_vec()).prop_map(Opcode::bits)
    ];
    let ahs = prop_oneof![Just(Vec::new()), ahs_words()];
    (
        opcode,
        proptest::array::uniform32(any::<u8>()),
        any::<[u8; 16]>(),
        ahs,
        data(),
        reserved_tag(),
    )
        .prop_map(|(opcode, first, second, ahs, data, tag)| {
            let mut bhs = [0; BHS_LEN];
            bhs[..32].copy_from_slice(&first);
            bhs[32..].copy_from_slice(&second);
            bhs[0] = opcode;
            if let Some(tag) = tag {
                bhs[16..20].copy_from_slice(&tag.to_be_bytes());
            }
            RawPdu {
                bhs,
                ahs: ahs.into(),
                data,
            }
        })
}

fn reserved_tag() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![8 => Just(None), 1 => Just(Some(u32::MAX))]
}

/// Additional headers: whole words, with plausible lengths and types at the front.
fn ahs_words() -> impl Strategy<Value = Vec<u8>> {
    (0_u16..24, 0_u8..4, 0_usize..8).prop_flat_map(|(len, kind, words)| {
        proptest::collection::vec(any::<u8>(), words * 4 + 4).prop_map(move |mut bytes| {
            bytes[..2].copy_from_slice(&len.to_be_bytes());
            bytes[2] = kind;
            bytes
        })
    })
}

pub(crate) fn data() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..600).prop_map(Bytes::from)
}

fn serial() -> impl Strategy<Value = SerialNumber32> {
    any::<u32>().prop_map(SerialNumber32)
}

fn lun() -> impl Strategy<Value = LunField> {
    any::<[u8; 8]>().prop_map(LunField)
}

fn task_tag() -> impl Strategy<Value = InitiatorTaskTag> {
    (0..u32::MAX).prop_map(InitiatorTaskTag)
}

fn transfer_tag() -> impl Strategy<Value = TargetTransferTag> {
    prop_oneof![
        any::<u32>().prop_map(TargetTransferTag),
        Just(TargetTransferTag::RESERVED)
    ]
}

fn residual() -> impl Strategy<Value = Residual> {
    prop_oneof![
        Just(Residual::None),
        any::<u32>().prop_map(Residual::Underflow),
        any::<u32>().prop_map(Residual::Overflow)
    ]
}

fn stages() -> impl Strategy<Value = (bool, Stage, Option<Stage>)> {
    use Stage::{FullFeaturePhase, LoginOperationalNegotiation, SecurityNegotiation};
    proptest::sample::select(vec![
        (false, SecurityNegotiation, None),
        (true, SecurityNegotiation, None),
        (false, SecurityNegotiation, Some(LoginOperationalNegotiation)),
        (false, SecurityNegotiation, Some(FullFeaturePhase)),
        (false, LoginOperationalNegotiation, None),
        (true, LoginOperationalNegotiation, None),
        (false, LoginOperationalNegotiation, Some(FullFeaturePhase)),
    ])
}

/// F and C, which exclude each other.
fn text_flags() -> impl Strategy<Value = (bool, bool)> {
    proptest::sample::select(vec![(false, false), (true, false), (false, true)])
}

/// Any legal PDU of an initiator.
pub(crate) fn initiator_pdu() -> impl Strategy<Value = Pdu> {
    prop_oneof![
        nop_out(),
        scsi_command(),
        task_management_request(),
        login_request(),
        text_request(),
        data_out(),
        logout_request(),
        snack_request(),
    ]
}

/// Any legal PDU of a target.
pub(crate) fn target_pdu() -> impl Strategy<Value = Pdu> {
    prop_oneof![
        nop_in(),
        scsi_response(),
        task_management_response(),
        login_response(),
        text_response(),
        data_in(),
        logout_response(),
        r2t(),
        async_message(),
        reject(),
    ]
}

prop_compose! {
    fn nop_out()(
        tag in task_tag(), reserved in any::<bool>(), immediate in any::<bool>(), lun in lun(),
        target_transfer_tag in transfer_tag(), cmd_sn in serial(), exp_stat_sn in serial(), data in data(),
    ) -> Pdu {
        let initiator_task_tag = if reserved { InitiatorTaskTag::RESERVED } else { tag };
        let immediate = immediate || reserved;
        NopOut { immediate, lun, initiator_task_tag, target_transfer_tag, cmd_sn, exp_stat_sn, data }.into()
    }
}

prop_compose! {
    fn scsi_command()(
        (immediate, final_bit, read, write) in any::<(bool, bool, bool, bool)>(), attribute in 0_u8..5, lun in lun(),
        initiator_task_tag in task_tag(), more in 0_u32..10_000, cmd_sn in serial(), exp_stat_sn in serial(),
        cdb in any::<[u8; 16]>(), extension in proptest::collection::vec(any::<u8>(), 0..=MAX_EXTENDED_CDB_LEN),
        bidirectional_read_length in any::<Option<u32>>(), data in data(),
    ) -> Pdu {
        let data = if write { data } else { Bytes::new() };
        ScsiCommand {
            immediate,
            final_bit: final_bit || !write,
            read,
            write,
            attribute: TaskAttribute::from_code(attribute),
            lun,
            initiator_task_tag,
            expected_data_transfer_length: data.len() as u32 + more,
            cmd_sn,
            exp_stat_sn,
            cdb,
            extended_cdb: extension.into(),
            bidirectional_read_length,
            data,
        }
        .into()
    }
}

prop_compose! {
    fn task_management_request()(
        immediate in any::<bool>(), function in 0_u8..128, lun in lun(), initiator_task_tag in task_tag(),
        referenced in any::<u32>(), cmd_sn in serial(), exp_stat_sn in serial(), ref_cmd_sn in serial(),
        exp_data_sn in serial(),
    ) -> Pdu {
        let function = TaskManagementFunction::from_code(function);
        let referenced_task_tag = InitiatorTaskTag(referenced);
        TaskManagementRequest {
            immediate, function, lun, initiator_task_tag, referenced_task_tag, cmd_sn, exp_stat_sn, ref_cmd_sn, exp_data_sn,
        }
        .into()
    }
}

prop_compose! {
    fn login_request()(
        (continue_bit, current_stage, transit_to) in stages(), version_max in any::<u8>(), version_min in any::<u8>(),
        isid in any::<[u8; 6]>(), tsih in any::<u16>(), initiator_task_tag in task_tag(), cid in any::<u16>(),
        cmd_sn in serial(), exp_stat_sn in serial(), data in data(),
    ) -> Pdu {
        LoginRequest {
            continue_bit, current_stage, transit_to, version_max, version_min, isid: Isid(isid), tsih: Tsih(tsih),
            initiator_task_tag, cid: Cid(cid), cmd_sn, exp_stat_sn, data,
        }
        .into()
    }
}

prop_compose! {
    fn login_response()(
        (continue_bit, current_stage, transit_to) in stages(), class in 0_u8..4, detail in any::<u8>(),
        version_max in any::<u8>(), version_active in any::<u8>(), isid in any::<[u8; 6]>(), tsih in any::<u16>(),
        initiator_task_tag in task_tag(), stat_sn in serial(), exp_cmd_sn in serial(), max_cmd_sn in serial(),
        data in data(),
    ) -> Pdu {
        let status = LoginStatus::new(class, detail);
        LoginResponse {
            continue_bit: continue_bit && status.is_success(),
            current_stage,
            transit_to: transit_to.filter(|_| status.is_success()),
            version_max, version_active, isid: Isid(isid), tsih: Tsih(tsih), initiator_task_tag, stat_sn, exp_cmd_sn,
            max_cmd_sn, status, data,
        }
        .into()
    }
}

prop_compose! {
    fn text_request()(
        immediate in any::<bool>(), (final_bit, continue_bit) in text_flags(), lun in lun(),
        initiator_task_tag in task_tag(), target_transfer_tag in transfer_tag(), cmd_sn in serial(),
        exp_stat_sn in serial(), data in data(),
    ) -> Pdu {
        TextRequest {
            immediate, final_bit, continue_bit, lun, initiator_task_tag, target_transfer_tag, cmd_sn, exp_stat_sn, data,
        }
        .into()
    }
}

prop_compose! {
    fn text_response()(
        (final_bit, continue_bit) in text_flags(), lun in lun(), initiator_task_tag in task_tag(), tag in 0..u32::MAX,
        stat_sn in serial(), exp_cmd_sn in serial(), max_cmd_sn in serial(), data in data(),
    ) -> Pdu {
        let target_transfer_tag = TargetTransferTag(tag);
        TextResponse {
            final_bit, continue_bit, lun, initiator_task_tag, target_transfer_tag, stat_sn, exp_cmd_sn, max_cmd_sn, data,
        }
        .into()
    }
}

prop_compose! {
    fn data_out()(
        final_bit in any::<bool>(), lun in lun(), initiator_task_tag in task_tag(), target_transfer_tag in transfer_tag(),
        exp_stat_sn in serial(), data_sn in serial(), buffer_offset in any::<u32>(), data in data(),
    ) -> Pdu {
        DataOut { final_bit, lun, initiator_task_tag, target_transfer_tag, exp_stat_sn, data_sn, buffer_offset, data }.into()
    }
}

prop_compose! {
    fn data_in()(
        final_bit in any::<bool>(), acknowledge in any::<bool>(),
        status in proptest::option::of((any::<u8>(), serial(), residual())), lun in lun(), initiator_task_tag in task_tag(),
        target_transfer_tag in transfer_tag(), exp_cmd_sn in serial(), max_cmd_sn in serial(), data_sn in serial(),
        buffer_offset in any::<u32>(), data in data(),
    ) -> Pdu {
        let status = status.map(|(status, stat_sn, residual)| DataInStatus { status, stat_sn, residual });
        DataIn {
            final_bit: final_bit || status.is_some(),
            acknowledge, status, lun, initiator_task_tag, target_transfer_tag, exp_cmd_sn, max_cmd_sn, data_sn,
            buffer_offset, data,
        }
        .into()
    }
}

prop_compose! {
    fn logout_request()(
        immediate in any::<bool>(), reason in 0_u8..3, initiator_task_tag in task_tag(), cid in any::<u16>(),
        cmd_sn in serial(), exp_stat_sn in serial(),
    ) -> Pdu {
        let reason = LogoutReason::from_code(reason);
        LogoutRequest { immediate, reason, initiator_task_tag, cid: Cid(cid), cmd_sn, exp_stat_sn }.into()
    }
}

prop_compose! {
    fn logout_response()(
        response in any::<u8>(), initiator_task_tag in task_tag(), stat_sn in serial(), exp_cmd_sn in serial(),
        max_cmd_sn in serial(), time2wait_s in any::<u16>(), time2retain_s in any::<u16>(),
    ) -> Pdu {
        let response = LogoutResponseCode::from_code(response);
        LogoutResponse { response, initiator_task_tag, stat_sn, exp_cmd_sn, max_cmd_sn, time2wait_s, time2retain_s }.into()
    }
}

prop_compose! {
    fn snack_request()(
        kind in 0_u8..4, lun in lun(), tag in any::<u32>(), transfer_or_snack_tag in any::<u32>(), exp_stat_sn in serial(),
        beg_run in serial(), run_length in any::<u32>(),
    ) -> Pdu {
        let (snack_type, initiator_task_tag) = (SnackType::from_code(kind), InitiatorTaskTag(tag));
        SnackRequest { snack_type, lun, initiator_task_tag, transfer_or_snack_tag, exp_stat_sn, beg_run, run_length }.into()
    }
}

prop_compose! {
    fn nop_in()(
        lun in lun(), tag in any::<u32>(), target_transfer_tag in transfer_tag(), stat_sn in serial(),
        exp_cmd_sn in serial(), max_cmd_sn in serial(), data in data(),
    ) -> Pdu {
        let initiator_task_tag = InitiatorTaskTag(tag);
        NopIn { lun, initiator_task_tag, target_transfer_tag, stat_sn, exp_cmd_sn, max_cmd_sn, data }.into()
    }
}

prop_compose! {
    fn scsi_response()(
        (response, status, snack_tag) in any::<(u8, u8, u32)>(), initiator_task_tag in task_tag(), stat_sn in serial(),
        exp_cmd_sn in serial(), max_cmd_sn in serial(), exp_data_sn in serial(), residual in residual(),
        bidirectional_read_residual in residual(), sense in data(), response_data in data(),
    ) -> Pdu {
        let response = ServiceResponse::from_code(response);
        ScsiResponse {
            response, status, initiator_task_tag, snack_tag, stat_sn, exp_cmd_sn, max_cmd_sn, exp_data_sn, residual,
            bidirectional_read_residual, sense, response_data,
        }
        .into()
    }
}

prop_compose! {
    fn task_management_response()(
        response in any::<u8>(), initiator_task_tag in task_tag(), stat_sn in serial(), exp_cmd_sn in serial(),
        max_cmd_sn in serial(),
    ) -> Pdu {
        let response = TaskManagementResponseCode::from_code(response);
        TaskManagementResponse { response, initiator_task_tag, stat_sn, exp_cmd_sn, max_cmd_sn }.into()
    }
}

prop_compose! {
    fn r2t()(
        lun in lun(), initiator_task_tag in task_tag(), tag in 0..u32::MAX, stat_sn in serial(), exp_cmd_sn in serial(),
        max_cmd_sn in serial(), r2t_sn in serial(), buffer_offset in 0..u32::MAX / 2, length in 1..u32::MAX / 2,
    ) -> Pdu {
        R2t {
            lun, initiator_task_tag, target_transfer_tag: TargetTransferTag(tag), stat_sn, exp_cmd_sn, max_cmd_sn, r2t_sn,
            buffer_offset, desired_data_transfer_length: length,
        }
        .into()
    }
}

prop_compose! {
    fn async_message()(
        code in any::<u8>(), vendor_code in any::<u8>(), (first, time2wait_s, time2retain_s) in any::<(u16, u16, u16)>(),
        lun in lun(), stat_sn in serial(), exp_cmd_sn in serial(), max_cmd_sn in serial(), sense in data(),
        event_data in data(),
    ) -> Pdu {
        let event = match code {
            0..50 => AsyncEvent::Scsi,
            50..100 => AsyncEvent::LogoutRequest { time_s: first },
            100..150 => AsyncEvent::ConnectionDrop { cid: Cid(first), time2wait_s, time2retain_s },
            150..200 => AsyncEvent::SessionDrop { time2wait_s, time2retain_s },
            200..230 => AsyncEvent::ParameterNegotiation { time_s: first },
            code => AsyncEvent::Other { code, vendor_code, parameters: [first, time2wait_s, time2retain_s] },
        };
        let sense = if event == AsyncEvent::Scsi { sense } else { Bytes::new() };
        AsyncMessage { lun, stat_sn, exp_cmd_sn, max_cmd_sn, event, sense, event_data }.into()
    }
}

prop_compose! {
    fn reject()(
        reason in any::<u8>(), stat_sn in serial(), exp_cmd_sn in serial(), max_cmd_sn in serial(),
        data_sn_or_r2t_sn in serial(), data in data(),
    ) -> Pdu {
        let reason = RejectReason::from_code(reason);
        Reject { reason, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn_or_r2t_sn, data }.into()
    }
}
