//! Text exchanges in full feature phase: SendTargets and renegotiated lengths (§6.4, §11.10, Appendix C).

use super::TargetConnection;
use super::error::ConnectionError;
use super::event::Event;
use crate::name::IscsiName;
use crate::params::respond_in_full_feature;
use crate::pdu::{InitiatorTaskTag, LunField, RejectReason, TargetTransferTag, TextRequest, TextResponse};
use crate::text::{KeyValues, TargetAddress, TextCollector, TextLimits};
use bytes::Bytes;
use std::collections::VecDeque;

/// The one text exchange that a connection may have open.
#[derive(Debug, Default)]
pub(super) struct TextExchange {
    collector: Option<TextCollector>,
    /// Whom to answer.
    tag: Option<(InitiatorTaskTag, bool)>,
    /// Answers of our own that go out with those of the driver.
    answers: KeyValues,
    /// Parts of the answer that the initiator has not asked for yet.
    parts: VecDeque<Bytes>,
    transfer_tag: Option<TargetTransferTag>,
}

impl TargetConnection {
    pub(super) fn text_request(
        &mut self,
        request: TextRequest,
        bhs: &[u8; 48],
    ) -> Result<(), ConnectionError> {
        if !self.pass_text(request.immediate, request.cmd_sn)? {
            return Ok(());
        }
        if !request.target_transfer_tag.is_reserved() {
            if self.text.transfer_tag != Some(request.target_transfer_tag) {
                self.reject(RejectReason::NegotiationReset, bhs);
                return Ok(());
            }
            if !self.text.parts.is_empty() {
                self.send_text_part(request.initiator_task_tag, request.final_bit);
                return Ok(());
            }
        } else {
            self.text = TextExchange::default(); // a new exchange takes the place of an old one (§11.10.4)
        }
        let collector = self
            .text
            .collector
            .get_or_insert_with(|| TextCollector::new(TextLimits::NEGOTIATION));
        match collector.push(&request.data, request.continue_bit) {
            Err(_) => {
                self.text = TextExchange::default();
                self.reject(RejectReason::ProtocolError, bhs);
            }
            Ok(None) => {
                let transfer_tag = self.transfer_tag();
                self.text.transfer_tag = Some(transfer_tag);
                self.send_text(
                    request.initiator_task_tag,
                    false,
                    Some(transfer_tag),
                    Bytes::new(),
                );
            }
            Ok(Some(list)) => {
                self.text.tag = Some((request.initiator_task_tag, request.final_bit));
                self.answer_text(&list, bhs);
            }
        }
        Ok(())
    }

    fn answer_text(&mut self, list: &KeyValues, bhs: &[u8; 48]) {
        let others = list.iter().filter(|(key, _)| *key != "SendTargets");
        let answers = respond_in_full_feature(&mut self.session.parameters, others);
        let answers = answers.ok().and_then(|answers| {
            let mut list = KeyValues::new();
            answers
                .into_iter()
                .try_for_each(|(key, value)| list.push(key, value))
                .ok()?;
            Some(list)
        });
        let Some(answers) = answers else {
            self.text = TextExchange::default();
            self.reject(RejectReason::ProtocolError, bhs);
            return;
        };
        match list.get("SendTargets") {
            Some(value) => {
                self.text.answers = answers;
                self.events.push_back(Event::SendTargets {
                    value: value.to_owned(),
                });
            }
            None => self.begin_text_answer(&answers),
        }
    }

    /// Answers SendTargets with the targets that this initiator may see.
    pub fn respond_send_targets(&mut self, targets: &[(IscsiName, Vec<TargetAddress>)]) {
        let mut list = std::mem::take(&mut self.text.answers);
        for (name, addresses) in targets {
            let pairs = addresses
                .iter()
                .map(|address| ("TargetAddress", address.to_string()));
            for (key, value) in std::iter::once(("TargetName", name.to_string())).chain(pairs) {
                if list.push(key, value).is_err() {
                    break; // names and addresses are far shorter than the longest value
                }
            }
        }
        self.begin_text_answer(&list);
    }

    fn begin_text_answer(&mut self, list: &KeyValues) {
        let max_len = self.parameters().max_send_data_segment_length as usize;
        self.text.parts = list.encode_segments(max_len).into();
        if self.text.parts.is_empty() {
            self.text.parts.push_back(Bytes::new());
        }
        if let Some((tag, final_bit)) = self.text.tag.take() {
            self.send_text_part(tag, final_bit);
        }
    }

    fn send_text_part(&mut self, tag: InitiatorTaskTag, final_bit: bool) {
        let part = self.text.parts.pop_front().unwrap_or_default();
        let more = !self.text.parts.is_empty();
        // An initiator that goes on gets a tag to go on with; otherwise the exchange is over.
        let goes_on = more || !final_bit;
        let transfer_tag = goes_on.then(|| self.transfer_tag());
        self.text.transfer_tag = transfer_tag;
        let continue_bit = more;
        self.send_text_with(tag, !goes_on, continue_bit, transfer_tag, part);
        if !goes_on {
            self.text = TextExchange::default();
        } else if !more {
            self.text.collector = None;
        }
    }

    fn send_text(
        &mut self,
        tag: InitiatorTaskTag,
        final_bit: bool,
        ttt: Option<TargetTransferTag>,
        data: Bytes,
    ) {
        self.send_text_with(tag, final_bit, false, ttt, data);
    }

    fn send_text_with(
        &mut self,
        tag: InitiatorTaskTag,
        final_bit: bool,
        continue_bit: bool,
        transfer_tag: Option<TargetTransferTag>,
        data: Bytes,
    ) {
        let response = TextResponse {
            final_bit,
            continue_bit,
            lun: LunField::default(),
            initiator_task_tag: tag,
            target_transfer_tag: transfer_tag.unwrap_or(TargetTransferTag::RESERVED),
            stat_sn: self.take_stat_sn(),
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn(),
            data,
        };
        self.send(response);
    }
}
