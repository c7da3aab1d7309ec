//! RFC 7143 for both roles without I/O: PDUs, text keys, digests, CHAP, login and session state machines
