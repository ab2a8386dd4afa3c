//! What the integration tests share. Each test program uses a part of it.
//!
//! | file | what it gives |
//! | --- | --- |
//! | [`child`] | a process of its own for a test: by executing the test program again, or by a fork |
//! | [`mode`] | a test in per-CPU and in per-thread mode |
//! | [`block`] | blocks that know their owner's stamp |
//! | [`ledger`], [`owned`] | who has which address: nothing is handed out twice |
//! | [`accounts`] | nothing is lost: the books balance |
//! | [`effort`] | less work on slow machines |
//! | [`threads`] | threads that are really joined; CPUs |
//! | [`nodes`] | the machine's nodes, and on which of them pages lie |
//! | [`reserved`] | the kernel's reserved pool of huge pages, filled for a test |
//! | [`ticker`] | a signal every 100 microseconds |
//! | [`rng`] | repeatable random numbers |
//! | [`confine`] | system calls forbidden, limits set
//! | [`memory_group`] | a control group that bounds memory | |
#![allow(dead_code)]

pub(crate) mod accounts;
pub(crate) mod block;
pub(crate) mod child;
pub(crate) mod confine;
pub(crate) mod effort;
pub(crate) mod ledger;
pub(crate) mod memory_group;
pub(crate) mod mode;
pub(crate) mod nodes;
pub(crate) mod owned;
pub(crate) mod reserved;
pub(crate) mod rng;
pub(crate) mod threads;
pub(crate) mod ticker;
