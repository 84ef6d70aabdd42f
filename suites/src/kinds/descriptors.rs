//! Descriptors that stand for no file.

use std::ffi::CStr;
use std::io;

use nix::sys::epoll::{Epoll, EpollCreateFlags};
use nix::sys::eventfd::EventFd;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use watertight::Resource::Fd;

use super::{Kind, Source, lose, source};

const SOURCE: Source = source!("descriptors.rs");
const MEMFD: &CStr = c"kinds-memfd";
const TIMER: TimerFlags = TimerFlags::TFD_CLOEXEC;

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind::new("pipe", SOURCE, &[Fd], "pipe:")
            .leaky(|_cx| {
                lose(io::pipe()?); // LEAK pipe
                Ok(())
            })
            .clean(|_cx| {
                drop(io::pipe()?);
                Ok(())
            }),
        Kind::new("eventfd", SOURCE, &[Fd], "[eventfd]")
            .leaky(|_cx| {
                lose(EventFd::new()?); // LEAK eventfd
                Ok(())
            })
            .clean(|_cx| {
                drop(EventFd::new()?);
                Ok(())
            }),
        Kind::new("epoll", SOURCE, &[Fd], "[eventpoll]")
            .leaky(|_cx| {
                lose(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?); // LEAK epoll
                Ok(())
            })
            .clean(|_cx| {
                drop(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
                Ok(())
            }),
        Kind::new("timerfd", SOURCE, &[Fd], "[timerfd]")
            .leaky(|_cx| {
                lose(TimerFd::new(ClockId::CLOCK_MONOTONIC, TIMER)?); // LEAK timerfd
                Ok(())
            })
            .clean(|_cx| {
                drop(TimerFd::new(ClockId::CLOCK_MONOTONIC, TIMER)?);
                Ok(())
            }),
        Kind::new("signalfd", SOURCE, &[Fd], "[signalfd]")
            .leaky(|_cx| {
                lose(SignalFd::new(&SigSet::from_iter([Signal::SIGUSR1]))?); // LEAK signalfd
                Ok(())
            })
            .clean(|_cx| {
                drop(SignalFd::new(&SigSet::from_iter([Signal::SIGUSR1]))?);
                Ok(())
            }),
        Kind::new("memfd", SOURCE, &[Fd], "kinds-memfd")
            .leaky(|_cx| {
                lose(memfd_create(MEMFD, MFdFlags::MFD_CLOEXEC)?); // LEAK memfd
                Ok(())
            })
            .clean(|_cx| {
                drop(memfd_create(MEMFD, MFdFlags::MFD_CLOEXEC)?);
                Ok(())
            }),
    ]
}
