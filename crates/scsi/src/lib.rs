//! SCSI as bytes and values: CDBs, sense data, VPD and mode pages, and the logical unit that answers them
