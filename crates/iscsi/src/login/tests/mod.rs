//! Dialogues of both machines.
