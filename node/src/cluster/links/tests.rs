//! Links on real sockets: what goes over them, who is kept out, and what breaks.

mod authority;
mod credentials;
mod exchange;
mod fixture;
mod hostile;
mod log;
mod renewal;
mod strangers;

use self::{
    authority::{Authority, Paper},
    fixture::{Replica, Story, destination, eventually, text_of},
};
use super::*;
