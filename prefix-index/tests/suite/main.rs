//! Everything about the index that is proved from outside.

#[cfg(test)]
mod history;

#[cfg(test)]
mod model;

#[cfg(test)]
mod replay;

#[cfg(test)]
mod same_as_model;
