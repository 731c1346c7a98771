//! `EndpointPickerConfig`: read, checked, and turned into a scheduler.
