//! Detached mounts, their placement in any mount namespace, mountinfo, and safe target directories
