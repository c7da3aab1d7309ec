//! Asking a logical unit who and what it is (INQUIRY, VPD pages, READ CAPACITY, MODE SENSE).

use std::time::{Duration, Instant};

use longshore_scsi::capacity::{Capacity, CapacityError};
use longshore_scsi::cdb::{Cdb, Form};
use longshore_scsi::identity::Wwid;
use longshore_scsi::inquiry::{DIRECT_ACCESS, StandardInquiry};
use longshore_scsi::lun::Lun;
use longshore_scsi::mode::{self, ModeParameters};
use longshore_scsi::sense::{Asc, Sense, SenseKey};
use longshore_scsi::status::Status;
use longshore_scsi::vpd::{self, BlockLimits, LogicalBlockProvisioning, VpdError};

use crate::command::{Command, Data, Response};
use crate::error::{TransportError, UnitError};
use crate::identity::{Condition, Geometry, Identity};
use crate::request::Origin;
use crate::session::Session;

/// How often unit attentions are taken for news about the unit before they are taken for its answer.
const ATTENTIONS_MAX: u32 = 32;
/// How long to wait before a unit that is becoming ready is asked again.
const NOT_READY_WAIT: Duration = Duration::from_millis(250);
/// The longest data of one command that we send or ask for: more would keep others waiting.
const TRANSFER_BYTES_MAX: u64 = 1 << 20;
/// The longest WRITE SAME that we send: a unit may write all of it before it answers.
const WRITE_SAME_BYTES_MAX: u64 = 32 << 20;

/// One party that asks one unit.
pub(crate) struct Ask<'a> {
    session: &'a Session,
    lun: Lun,
    origin: Origin,
    deadline: Instant,
    /// A unit attention told that the target may have lost its volatile cache.
    pub(crate) reset_seen: bool,
    /// How many unit attentions there were.
    pub(crate) attentions: u32,
}

/// Whether a unit attention tells of a reset that may have cost a volatile cache: 29/xx, but for the loss of an I_T
/// nexus, which costs tasks only.
pub(crate) fn is_reset(sense: &Sense) -> bool {
    let lost_nexus = Asc(sense.asc, sense.ascq) == Asc::NEXUS_LOSS_OCCURRED;
    sense.key == SenseKey::UnitAttention && sense.asc == 0x29 && !lost_nexus
}

impl<'a> Ask<'a> {
    pub(crate) fn new(session: &'a Session, lun: Lun, origin: Origin, deadline: Instant) -> Self {
        Ask {
            session,
            lun,
            origin,
            deadline,
            reset_seen: false,
            attentions: 0,
        }
    }

    /// Sends a command until the unit has an answer that is not a unit attention or "becoming ready".
    pub(crate) async fn answer(&mut self, cdb: Cdb, data: Data, what: &str) -> Result<Response, UnitError> {
        let mut attentions = 0;
        loop {
            let command = Command {
                lun: self.lun,
                cdb,
                data: data.clone(),
            };
            let what = format!("{what} to LUN {}", self.lun);
            let pending = self.session.submit(command, self.origin, Some(self.deadline));
            let response = pending.wait(what.clone(), self.deadline, self.session).await?;
            match response.sense {
                _ if response.status.is_good() => return Ok(response),
                _ if response.status == Status::RESERVATION_CONFLICT => {
                    return Err(UnitError::ReservationConflict);
                }
                Some(sense) if sense.key == SenseKey::RecoveredError => return Ok(response),
                Some(sense) if sense.key == SenseKey::UnitAttention && attentions < ATTENTIONS_MAX => {
                    attentions += 1;
                    self.attentions = self.attentions.wrapping_add(1);
                    self.reset_seen |= is_reset(&sense);
                }
                Some(sense) if sense.key == SenseKey::NotReady && sense.asc == 0x04 => {
                    let wake = Instant::now() + NOT_READY_WAIT;
                    if wake >= self.deadline {
                        let session = format!("the unit is not ready: {sense}");
                        return Err(TransportError::Deadline { what, session }.into());
                    }
                    tokio::time::sleep_until(wake.into()).await;
                }
                sense => {
                    return Err(UnitError::Scsi {
                        what,
                        status: response.status,
                        sense,
                    });
                }
            }
        }
    }

    async fn data(&mut self, cdb: Cdb, len: u32, what: &str) -> Result<bytes::Bytes, UnitError> {
        Ok(self.answer(cdb, Data::In(len), what).await?.data.into_bytes())
    }

    /// A VPD page; asked for again when it is longer than expected.
    async fn vpd(&mut self, page: u8, what: &str) -> Result<bytes::Bytes, UnitError> {
        let first = self.data(Cdb::vpd(page, 252), 252, what).await?;
        match vpd::body(page, &first) {
            Err(VpdError::Truncated { needed_bytes, .. }) => {
                let len = u16::try_from(needed_bytes).unwrap_or(u16::MAX);
                self.data(Cdb::vpd(page, len), u32::from(len), what).await
            }
            _ => Ok(first),
        }
    }

    fn malformed(&self, what: &'static str, error: impl ToString) -> UnitError {
        UnitError::Malformed {
            lun: self.lun.to_string(),
            what,
            reason: error.to_string(),
        }
    }
}

/// Everything about a unit that is to be opened, and [`Session::news`] as of which it holds.
pub(crate) async fn unit(
    session: &Session,
    lun: Lun,
    deadline: Instant,
) -> Result<(Identity, Geometry, u64), UnitError> {
    let mut ask = Ask::new(session, lun, Origin::Control, deadline);
    let inquiry = standard_inquiry(&mut ask).await?;
    if inquiry.device_type() != DIRECT_ACCESS {
        return Err(UnitError::NotADisk {
            lun: lun.to_string(),
            device_type: inquiry.device_type(),
        });
    }
    ask.answer(Cdb::TestUnitReady, Data::None, "TEST UNIT READY")
        .await?;
    let as_of = session.news();
    let pages = supported_pages(&mut ask).await?;
    let serial = (vpd::UNIT_SERIAL_NUMBER, "INQUIRY (VPD page 0x80)");
    let serial = promised(&mut ask, &pages, serial, vpd::parse_unit_serial_number).await?;
    let serial = serial.filter(|serial| !serial.is_empty());
    let wwid = wwid(&mut ask).await?;
    let geometry = geometry(&mut ask, &pages).await?;
    let StandardInquiry {
        vendor,
        product,
        revision,
        ..
    } = inquiry;
    Ok((
        Identity {
            wwid,
            vendor,
            product,
            revision,
            serial,
        },
        geometry,
        as_of,
    ))
}

async fn standard_inquiry(ask: &mut Ask<'_>) -> Result<StandardInquiry, UnitError> {
    let no_such_lun = |lun: Lun, reason: String| UnitError::NoSuchLun {
        lun: lun.to_string(),
        reason,
    };
    let bytes = match ask.data(Cdb::inquiry(96), 96, "INQUIRY").await {
        Err(UnitError::Scsi {
            sense: Some(sense), ..
        }) if sense.is(SenseKey::IllegalRequest, Asc::LOGICAL_UNIT_NOT_SUPPORTED) => {
            return Err(no_such_lun(ask.lun, sense.to_string()));
        }
        result => result?,
    };
    let inquiry = StandardInquiry::parse(&bytes).map_err(|error| ask.malformed("INQUIRY", error))?;
    if !inquiry.is_connected() {
        let reason = format!("INQUIRY says peripheral qualifier {}", inquiry.peripheral >> 5);
        return Err(no_such_lun(ask.lun, reason));
    }
    Ok(inquiry)
}

/// An answer of "illegal request" means that the unit does not have what was asked for.
fn unless_illegal<T>(result: Result<T, UnitError>) -> Result<Option<T>, UnitError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(UnitError::Scsi {
            sense: Some(sense), ..
        }) if sense.key == SenseKey::IllegalRequest => Ok(None),
        Err(error) => Err(error),
    }
}

async fn supported_pages(ask: &mut Ask<'_>) -> Result<Vec<u8>, UnitError> {
    let page = unless_illegal(ask.vpd(vpd::SUPPORTED_PAGES, "INQUIRY (VPD page 0x00)").await)?;
    Ok(page
        .and_then(|page| vpd::parse_supported_pages(&page).ok())
        .unwrap_or_default())
}

/// A VPD page that the unit promises to have and that can be done without: some refuse what they promise.
async fn promised<T>(
    ask: &mut Ask<'_>,
    pages: &[u8],
    (page, what): (u8, &str),
    parse: fn(&[u8]) -> Result<T, VpdError>,
) -> Result<Option<T>, UnitError> {
    if !pages.contains(&page) {
        return Ok(None);
    }
    let answer = unless_illegal(ask.vpd(page, what).await)?;
    Ok(answer.and_then(|bytes| parse(&bytes).ok()))
}

/// The unit's identity, asked live. `None`: it has no usable designator. A malformed page is an error, not "none".
async fn wwid(ask: &mut Ask<'_>) -> Result<Option<Wwid>, UnitError> {
    const WHAT: &str = "INQUIRY (VPD page 0x83)";
    let Some(page) = unless_illegal(ask.vpd(vpd::DEVICE_IDENTIFICATION, WHAT).await)? else {
        return Ok(None);
    };
    let designators = vpd::parse_device_identification(&page).map_err(|error| ask.malformed(WHAT, error))?;
    Ok(Wwid::choose(&designators))
}

/// Whether the unit is the one that it was. The inner result is the answer, the outer one why there is none.
pub(crate) async fn verify(
    ask: &mut Ask<'_>,
    expected: &Identity,
) -> Result<Result<(), Condition>, UnitError> {
    // Before anything else: is there a unit? A target that comes up may not have all of its units yet.
    let inquiry = standard_inquiry(ask).await?;
    let found = wwid(ask).await?;
    if found != expected.wwid {
        let text = |wwid: &Option<Wwid>| wwid.as_ref().map_or("no WWID".to_owned(), Wwid::to_string);
        let (expected, found) = (text(&expected.wwid), text(&found));
        return Ok(Err(Condition::IdentityChanged { expected, found }));
    }
    // Without a WWID the names are all that there is to compare.
    let same =
        (inquiry.vendor == expected.vendor && inquiry.product == expected.product) || expected.wwid.is_some();
    if !same {
        let expected = format!("{} {}", expected.vendor, expected.product);
        let found = format!("{} {}", inquiry.vendor, inquiry.product);
        return Ok(Err(Condition::IdentityChanged { expected, found }));
    }
    Ok(Ok(()))
}

async fn capacity(ask: &mut Ask<'_>) -> Result<Capacity, UnitError> {
    let len = longshore_scsi::capacity::READ_CAPACITY_16_LEN as u32;
    if let Some(bytes) = unless_illegal(ask.data(Cdb::read_capacity_16(), len, "READ CAPACITY(16)").await)? {
        return Capacity::parse_16(&bytes).map_err(|error| ask.malformed("READ CAPACITY(16)", error));
    }
    let len = longshore_scsi::capacity::READ_CAPACITY_10_LEN as u32;
    let bytes = ask
        .data(Cdb::read_capacity_10(), len, "READ CAPACITY(10)")
        .await?;
    Capacity::parse_10(&bytes).map_err(|error: CapacityError| ask.malformed("READ CAPACITY(10)", error))
}

/// Write protection and cache mode. A unit that does not tell its cache mode is taken to have a volatile cache.
async fn write_mode(ask: &mut Ask<'_>) -> Result<(bool, bool), UnitError> {
    // A unit without a caching page tells its write protection with the pages that it has.
    for page in [mode::CACHING, mode::ALL_PAGES] {
        if let Some(parameters) = mode_sense(ask, page).await? {
            return Ok((
                parameters.write_protected,
                parameters.write_cache_enabled().unwrap_or(true),
            ));
        }
    }
    Ok((false, true))
}

/// MODE SENSE. `None`: the unit has neither form of it for this page, or answers with what cannot be read.
async fn mode_sense(ask: &mut Ask<'_>, page: u8) -> Result<Option<ModeParameters>, UnitError> {
    let forms = [
        (Form::Six, Cdb::mode_sense_6(page, 252), 252, "MODE SENSE(6)"),
        (Form::Ten, Cdb::mode_sense_10(page, 512), 512, "MODE SENSE(10)"),
    ];
    for (form, cdb, len, what) in forms {
        let Some(bytes) = unless_illegal(ask.data(cdb, len, what).await)? else {
            continue;
        };
        match ModeParameters::parse_sense(form, &bytes) {
            Ok(parameters) => return Ok(Some(parameters)),
            Err(error) => tracing::warn!(lun = %ask.lun, what, %error, "mode parameters are passed over"),
        }
    }
    Ok(None)
}

async fn geometry(ask: &mut Ask<'_>, pages: &[u8]) -> Result<Geometry, UnitError> {
    let capacity = capacity(ask).await?;
    let block = u64::from(capacity.block_size_bytes);
    if !(512..=65_536).contains(&block) || !block.is_power_of_two() {
        return Err(ask.malformed(
            "READ CAPACITY",
            format!("blocks of {block} bytes are not supported"),
        ));
    }
    let limits = (vpd::BLOCK_LIMITS, "INQUIRY (VPD page 0xB0)");
    let limits = promised(ask, pages, limits, BlockLimits::parse).await?;
    let provisioning = (vpd::LOGICAL_BLOCK_PROVISIONING, "INQUIRY (VPD page 0xB2)");
    let provisioning = promised(ask, pages, provisioning, LogicalBlockProvisioning::parse).await?;
    let (read_only, write_cache) = write_mode(ask).await?;
    let bytes = |blocks: u64, most: u64| match blocks {
        0 => most,
        blocks => blocks.saturating_mul(block).min(most),
    };
    let (most, optimal, same) = limits.as_ref().map_or((0, 0, 0), |limits| {
        let (most, optimal) = (limits.max_transfer_blocks, limits.optimal_transfer_blocks);
        (u64::from(most), u64::from(optimal), limits.max_write_same_blocks)
    });
    let unmap = provisioning.as_ref().is_some_and(|page| page.write_same_16);
    let reads_zero = provisioning
        .as_ref()
        .is_some_and(|page| page.reads_zeros & 1 != 0);
    Ok(Geometry {
        block_size_bytes: capacity.block_size_bytes,
        physical_block_size_bytes: capacity.block_size_bytes
            << u32::from(capacity.physical_block_exponent.min(8)),
        size_bytes: capacity.size_bytes(),
        read_only,
        write_cache,
        max_transfer_bytes: bytes(most, TRANSFER_BYTES_MAX) as u32,
        optimal_transfer_bytes: bytes(optimal, TRANSFER_BYTES_MAX) as u32 * u32::from(optimal > 0),
        unmap,
        write_same: unmap || same > 0,
        max_write_same_bytes: bytes(same, WRITE_SAME_BYTES_MAX),
        unmapped_reads_zero: reads_zero || capacity.unmapped_reads_zeros,
    })
}

/// What may change while a unit is in use: capacity, write protection, cache mode. The outer error says why there is
/// no answer.
pub(crate) async fn refresh(
    ask: &mut Ask<'_>,
    known: Geometry,
) -> Result<Result<Geometry, Condition>, UnitError> {
    let capacity = capacity(ask).await?;
    if capacity.block_size_bytes != known.block_size_bytes {
        let (was_bytes, now_bytes) = (known.block_size_bytes, capacity.block_size_bytes);
        return Ok(Err(Condition::BlockSizeChanged { was_bytes, now_bytes }));
    }
    let (read_only, write_cache) = match write_mode(ask).await {
        // Whoever has the unit for himself need not tell us its mode; our I/O is refused for that reason too.
        Err(UnitError::ReservationConflict) => (known.read_only, known.write_cache),
        result => result?,
    };
    Ok(Ok(Geometry {
        size_bytes: capacity.size_bytes(),
        read_only,
        // Once there was a cache, what it held is still to be flushed and its loss to be told.
        write_cache: write_cache || known.write_cache,
        ..known
    }))
}
