//! Byte vectors of sense data.

use super::*;

#[test]
fn fixed_format_has_18_bytes_and_key_at_2() {
    let sense = Sense::illegal_request(Asc::INVALID_COMMAND_OPERATION_CODE);
    let bytes = sense.to_fixed();
    assert_eq!(
        bytes,
        [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0]
    );
    assert_eq!(Sense::parse(&bytes), Ok(sense));
}

#[test]
fn fixed_format_carries_information_and_field() {
    let sense = Sense::new(SenseKey::MediumError, Asc::UNRECOVERED_READ_ERROR).with_information(0x0102_0304);
    let bytes = sense.to_fixed();
    assert_eq!(bytes[..7], [0xf0, 0, 3, 1, 2, 3, 4]);
    assert_eq!(Sense::parse(&bytes), Ok(sense));

    let sense = Sense::invalid_field_in_cdb(2);
    let bytes = sense.to_fixed();
    assert_eq!(bytes[12..], [0x24, 0, 0, 0xc0, 0, 2]);
    assert_eq!(Sense::parse(&bytes), Ok(sense));
}

#[test]
fn information_beyond_32_bits_only_fits_the_descriptor_format() {
    let sense = Sense::new(SenseKey::MediumError, Asc::UNRECOVERED_READ_ERROR).with_information(1 << 40);
    assert_eq!(sense.to_fixed()[0], 0x70);
    let bytes = sense.to_descriptor();
    assert_eq!(
        bytes,
        [
            0x72, 3, 0x11, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(Sense::parse(&bytes), Ok(sense));
}

#[test]
fn descriptor_format_carries_the_field_pointer_with_its_bit() {
    let sense = Sense::illegal_request(Asc::INVALID_FIELD_IN_PARAMETER_LIST).at(FieldPointer {
        in_cdb: false,
        byte: 8,
        bit: Some(3),
    });
    let bytes = sense.to_descriptor();
    assert_eq!(bytes, [0x72, 5, 0x26, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0x8b, 0, 8, 0]);
    assert_eq!(Sense::parse(&bytes), Ok(sense));
}

#[test]
fn short_and_unknown_sense_data_are_errors() {
    assert_eq!(Sense::parse(&[]), Err(SenseError::TooShort { len: 0 }));
    assert_eq!(Sense::parse(&[0x70, 0]), Err(SenseError::TooShort { len: 2 }));
    assert_eq!(
        Sense::parse(&[0x72, 5, 0x24]),
        Err(SenseError::TooShort { len: 3 })
    );
    assert_eq!(
        Sense::parse(&[0x7f; 18]),
        Err(SenseError::UnknownResponseCode(0x7f))
    );
}

#[test]
fn a_descriptor_that_is_cut_short_is_left_out() {
    let bytes = [0x72, 6, 0x29, 0x07, 0, 0, 0, 12, 0, 10, 0x80, 0, 1];
    assert_eq!(
        Sense::parse(&bytes),
        Ok(Sense::unit_attention(Asc::NEXUS_LOSS_OCCURRED))
    );
}

#[test]
fn display_names_the_condition() {
    let sense = Sense::unit_attention(Asc::CAPACITY_DATA_HAS_CHANGED);
    assert_eq!(
        sense.to_string(),
        "UnitAttention 2a/09 (capacity data has changed)"
    );
}
