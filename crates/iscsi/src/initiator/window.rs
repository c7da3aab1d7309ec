//! The command window as the initiator sees it (RFC 7143 §4.2.2.1).

use crate::serial::SerialNumber32;

/// Which CmdSN comes next and up to which the target takes commands.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommandWindow {
    next: SerialNumber32,
    exp: SerialNumber32,
    max: SerialNumber32,
}

impl CommandWindow {
    pub(super) fn new(cmd_sn: SerialNumber32, max_cmd_sn: SerialNumber32) -> Self {
        CommandWindow {
            next: cmd_sn,
            exp: cmd_sn,
            max: max_cmd_sn,
        }
    }

    /// The CmdSN that the next command takes, and that immediate commands carry without taking it.
    pub(super) fn cmd_sn(&self) -> SerialNumber32 {
        self.next
    }

    /// Takes ExpCmdSN and MaxCmdSN of any PDU of the target. A pair with MaxCmdSN below ExpCmdSN - 1 is ignored, as
    /// are values that are older than those already known: PDUs may overtake each other in a session.
    pub(super) fn update(&mut self, exp: SerialNumber32, max: SerialNumber32) {
        if max.is_before(exp.retreat(1)) {
            return;
        }
        if exp.is_after(self.exp) {
            self.exp = exp;
        }
        if max.is_after(self.max) {
            self.max = max;
        }
    }

    /// Whether one more command may be sent. The window may be shut for long; that is legal.
    pub(super) fn is_open(&self) -> bool {
        !self.next.is_after(self.max)
    }

    /// How many commands may be sent before the window has to move.
    pub(super) fn room(&self) -> u32 {
        if self.is_open() {
            self.max.since(self.next).saturating_add(1)
        } else {
            0
        }
    }

    /// The number of a command that is sent now.
    pub(super) fn take(&mut self) -> SerialNumber32 {
        let taken = self.next;
        self.next = taken.next();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(next: u32, max: u32) -> CommandWindow {
        CommandWindow::new(SerialNumber32(next), SerialNumber32(max))
    }

    fn room(mut window: CommandWindow) -> u32 {
        let expected = window.room();
        let mut count = 0;
        while window.is_open() && count < 1000 {
            window.take();
            count += 1;
        }
        assert_eq!(count, expected);
        count
    }

    #[test]
    fn counts_both_ends_and_wraps() {
        assert_eq!(room(window(5, 5)), 1);
        assert_eq!(room(window(5, 4)), 0);
        assert_eq!(room(window(u32::MAX, 2)), 4);
    }

    #[test]
    fn a_max_below_exp_minus_one_is_ignored() {
        let mut window = window(10, 12);
        window.update(SerialNumber32(20), SerialNumber32(18));
        assert_eq!(room(window), 3);
        window.update(SerialNumber32(14), SerialNumber32(13));
        assert_eq!(room(window), 4);
    }

    #[test]
    fn an_older_window_does_not_shrink_a_newer_one() {
        let mut window = window(10, 20);
        window.update(SerialNumber32(8), SerialNumber32(12));
        assert_eq!(room(window), 11);
    }

    #[test]
    fn the_window_moves_over_the_end_of_the_numbers() {
        let mut window = window(u32::MAX - 1, u32::MAX - 1);
        window.take();
        assert!(!window.is_open());
        window.update(SerialNumber32(u32::MAX), SerialNumber32(3));
        assert_eq!(room(window), 5);
    }
}
