//! The bench program of numaslab: the same loops for every allocator, told apart by nothing but
//! their type.
//!
//! How a figure comes about, from the bottom up:
//!
//! | floor | modules | what |
//! | --- | --- | --- |
//! | report | [`report`], [`stats`] | medians and spread; tables, JSON, pictures |
//! | parent | [`cli`], [`all`], [`harness`], [`machine`] | options; children in interleaved rounds |
//! | child | [`mod@child`], [`workload`], [`race`], [`resources`], [`outcome`] | a timed loop and what it used |
//! | both | [`placement`], [`residence`], [`frames`] | on which CPUs threads run, on which nodes and frames blocks lie |
//! | both | [`tally`] | system calls by kind |
//! | beside | [`programs`] | real programs with allocators under them, a tool of its own |
//! | both | [`pages`] | which pages a heap is told to lie on |
//! | loop | [`block`], [`ring`], [`ceiling`], [`rng`], [`sizes`], [`allocator`] | calls, random numbers, names |
//!
//! Every run has a process of its own, whose global allocator is `System`: only the calls that a
//! workload makes go to the allocator on trial. This library links no allocator; the programs in
//! `contestants/` do, one each.

#![deny(unsafe_code)]

pub mod all;
pub mod allocator;
pub mod block;
pub mod ceiling;
pub mod child;
pub mod cli;
pub mod frames;
pub mod harness;
pub mod machine;
pub mod outcome;
pub mod pages;
pub mod placement;
pub mod programs;
pub mod race;
pub mod report;
pub mod residence;
pub mod resources;
pub mod ring;
pub mod rng;
pub mod sizes;
pub mod stats;
pub mod tally;
pub mod workload;
