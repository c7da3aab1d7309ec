//! Drives the iscsi state machines over TCP: sessions, portals, recovery and safe replay
