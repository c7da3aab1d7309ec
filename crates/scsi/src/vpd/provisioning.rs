//! VPD page B2h, logical block provisioning (SBC-4 6.6.7).

use super::{LOGICAL_BLOCK_PROVISIONING, VpdError, fixed_body, page};

/// How blocks are provisioned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(missing_docs)] // The standard's own names.
pub enum ProvisioningType {
    /// The device does not say.
    #[default]
    NotReported,
    ResourceProvisioned,
    ThinProvisioned,
    Other(u8),
}

/// Which commands release blocks and how released blocks read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct LogicalBlockProvisioning {
    /// LBPU: UNMAP.
    pub unmap: bool,
    /// LBPWS: WRITE SAME(16) with UNMAP.
    pub write_same_16: bool,
    /// LBPWS10: WRITE SAME(10) with UNMAP.
    pub write_same_10: bool,
    /// LBPRZ: 0 not told, 1 unmapped blocks read as zeros, other values see SBC-4.
    pub reads_zeros: u8,
    /// ANC_SUP: blocks can be anchored.
    pub anchor: bool,
    /// PROVISIONING TYPE.
    pub provisioning: ProvisioningType,
}

impl LogicalBlockProvisioning {
    /// The whole page.
    #[must_use]
    pub fn to_page(&self, peripheral: u8) -> Vec<u8> {
        let flags = u8::from(self.unmap) << 7
            | u8::from(self.write_same_16) << 6
            | u8::from(self.write_same_10) << 5
            | (self.reads_zeros & 7) << 2
            | u8::from(self.anchor) << 1;
        let provisioning = match self.provisioning {
            ProvisioningType::NotReported => 0,
            ProvisioningType::ResourceProvisioned => 1,
            ProvisioningType::ThinProvisioned => 2,
            ProvisioningType::Other(code) => code & 7,
        };
        page(
            peripheral,
            LOGICAL_BLOCK_PROVISIONING,
            &[0, flags, provisioning, 0],
        )
    }

    /// Reads the page.
    ///
    /// # Errors
    /// [`VpdError`] of the header, or fewer than 4 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, VpdError> {
        let body = fixed_body(LOGICAL_BLOCK_PROVISIONING, bytes, 4)?;
        let flags = body[1];
        Ok(Self {
            unmap: flags & 0x80 != 0,
            write_same_16: flags & 0x40 != 0,
            write_same_10: flags & 0x20 != 0,
            reads_zeros: flags >> 2 & 7,
            anchor: flags & 2 != 0,
            provisioning: match body[2] & 7 {
                0 => ProvisioningType::NotReported,
                1 => ProvisioningType::ResourceProvisioned,
                2 => ProvisioningType::ThinProvisioned,
                code => ProvisioningType::Other(code),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let page = LogicalBlockProvisioning {
            unmap: true,
            write_same_16: true,
            write_same_10: true,
            reads_zeros: 1,
            anchor: false,
            provisioning: ProvisioningType::ThinProvisioned,
        };
        let bytes = page.to_page(0);
        assert_eq!(bytes, [0, 0xb2, 0, 4, 0, 0xe4, 2, 0]);
        assert_eq!(LogicalBlockProvisioning::parse(&bytes), Ok(page));
        assert!(LogicalBlockProvisioning::parse(&bytes[..7]).is_err());
    }
}
