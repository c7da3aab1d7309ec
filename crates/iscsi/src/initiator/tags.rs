//! Initiator Task Tags and what they stand for (RFC 7143 §11.2.1.8).

use super::management::Management;
use super::task::Task;
use super::text::TextExchange;
use crate::pdu::InitiatorTaskTag;

/// The most tags in use at a time. A tag is a slot and how often the slot was used before, so an answer to an old task
/// does not meet a new one.
pub(super) const TAGS_MAX: usize = 4096;

/// What a tag stands for.
#[derive(Debug)]
pub(super) enum Request {
    Scsi(Task),
    Management(Management),
    Text(TextExchange),
    Ping,
    Logout,
}

impl Request {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Request::Scsi(_) => "SCSI command",
            Request::Management(_) => "task management request",
            Request::Text(_) => "text request",
            Request::Ping => "NOP-Out",
            Request::Logout => "logout",
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u16,
    request: Option<Request>,
}

/// All tags of a connection.
#[derive(Debug, Default)]
pub(super) struct Tags {
    slots: Vec<Slot>,
    free: Vec<u16>,
}

impl Tags {
    /// How many tags are in use.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives `request` a tag; `None` when all are in use.
    pub(super) fn insert(&mut self, request: Request) -> Option<InitiatorTaskTag> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() >= TAGS_MAX => return None,
            None => {
                self.slots.push(Slot::default());
                (self.slots.len() - 1) as u16
            }
        };
        let slot = &mut self.slots[usize::from(index)];
        slot.request = Some(request);
        Some(InitiatorTaskTag(
            u32::from(slot.generation) << 16 | u32::from(index),
        ))
    }

    fn slot(&self, tag: InitiatorTaskTag) -> Option<&Slot> {
        self.slots.get((tag.0 & 0xffff) as usize)
    }

    pub(super) fn get(&self, tag: InitiatorTaskTag) -> Option<&Request> {
        let slot = self
            .slot(tag)
            .filter(|slot| u32::from(slot.generation) == tag.0 >> 16)?;
        slot.request.as_ref()
    }

    pub(super) fn get_mut(&mut self, tag: InitiatorTaskTag) -> Option<&mut Request> {
        let slot = self.slots.get_mut((tag.0 & 0xffff) as usize)?;
        if u32::from(slot.generation) == tag.0 >> 16 {
            slot.request.as_mut()
        } else {
            None
        }
    }

    /// The SCSI task with this tag.
    pub(super) fn task(&self, tag: InitiatorTaskTag) -> Option<&Task> {
        match self.get(tag) {
            Some(Request::Scsi(task)) => Some(task),
            _ => None,
        }
    }

    /// The SCSI task with this tag.
    pub(super) fn task_mut(&mut self, tag: InitiatorTaskTag) -> Option<&mut Task> {
        match self.get_mut(tag) {
            Some(Request::Scsi(task)) => Some(task),
            _ => None,
        }
    }

    /// Frees the tag.
    pub(super) fn remove(&mut self, tag: InitiatorTaskTag) -> Option<Request> {
        self.get(tag)?;
        let index = (tag.0 & 0xffff) as u16;
        let slot = &mut self.slots[usize::from(index)];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        slot.request.take()
    }

    /// Whether the last thing that this tag's slot stood for was this tag.
    pub(super) fn has_just_ended(&self, tag: InitiatorTaskTag) -> bool {
        let generation = (tag.0 >> 16) as u16;
        self.slot(tag)
            .is_some_and(|slot| slot.generation == generation.wrapping_add(1))
    }

    /// All requests with their tags.
    pub(super) fn iter(&self) -> impl Iterator<Item = (InitiatorTaskTag, &Request)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let tag = InitiatorTaskTag(u32::from(slot.generation) << 16 | index as u32);
            slot.request.as_ref().map(|request| (tag, request))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_not_used_again_soon_and_never_the_reserved_one() {
        let mut tags = Tags::default();
        let first = tags.insert(Request::Ping).unwrap();
        assert!(tags.remove(first).is_some());
        assert!(tags.has_just_ended(first));
        let second = tags.insert(Request::Logout).unwrap();
        assert_ne!(first, second);
        assert!(tags.get(first).is_none() && tags.get(second).is_some());
        assert!(tags.remove(first).is_none());
        for _ in 0..70_000 {
            let tag = tags.insert(Request::Ping).unwrap();
            assert!(!tag.is_reserved());
            tags.remove(tag).unwrap();
        }
    }

    #[test]
    fn tags_are_bounded() {
        let mut tags = Tags::default();
        for _ in 0..TAGS_MAX {
            tags.insert(Request::Ping).unwrap();
        }
        assert!(tags.insert(Request::Ping).is_none());
        assert_eq!(tags.len(), TAGS_MAX);
    }
}
