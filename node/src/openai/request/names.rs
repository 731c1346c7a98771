//! The keys that mean something, and how they are told from the rest.

use std::ops::ControlFlow;

use super::super::{canonical::unescape::Unescaper, json::SHORT_BYTES_MAX};

/// A key that some part of some body looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
    CacheSalt,
    Prompt,
    Input,
    Instructions,
    Items,
    Messages,
    Tools,
    Documents,
    ChatTemplate,
    ChatTemplateKwargs,
    ReturnAssistantTokensMask,
    ContinueFinalMessage,
    AddGenerationPrompt,
    Metadata,
    Count,
    Size,
    InferenceSteps,
    Role,
    Content,
    ToolCalls,
    Type,
    Text,
    ImageUrl,
    VideoUrl,
    AudioUrl,
    InputAudio,
    Url,
    Data,
    Format,
    Unknown,
}

/// A key as it stands in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: Name,
    /// Whether it is spelt exactly so. The picker that this one replaces reads `model` and
    /// `stream` from a map, where spelling counts, and the rest into fields, where case does not.
    pub(super) exact: bool,
}

impl Key {
    pub(super) const UNKNOWN: Self = Self { name: Name::Unknown, exact: true };

    /// Reads a key from the bytes between its quotes.
    #[inline]
    pub(super) fn read(raw: &[u8]) -> Self {
        let name = Name::of(raw);
        if name != Name::Unknown {
            return Self { name, exact: true };
        }
        let mut spelling = Spelling::default();
        let mut sink = |piece: &[u8]| spelling.push(piece);
        let mut text = Unescaper::default();
        let done = text.feed(raw, &mut sink);
        if done.is_break() || text.finish(&mut sink).is_break() {
            return Self::UNKNOWN;
        }
        let name = Name::of(spelling.bytes());
        if name != Name::Unknown {
            return Self { name, exact: true };
        }
        Self { name: Name::of(spelling.fold()), exact: false }
    }
}

/// A decoded key.
#[derive(Debug)]
struct Spelling {
    bytes: [u8; SHORT_BYTES_MAX],
    length: usize,
}

impl Default for Spelling {
    fn default() -> Self {
        Self { bytes: [0; SHORT_BYTES_MAX], length: 0 }
    }
}

impl Spelling {
    fn push(&mut self, piece: &[u8]) -> ControlFlow<()> {
        match self.bytes.get_mut(self.length..self.length + piece.len()) {
            Some(free) => {
                free.copy_from_slice(piece);
                self.length += piece.len();
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The key in lower case. Besides the ASCII letters two others have an ASCII lower case.
    fn fold(&mut self) -> &[u8] {
        let mut folded = 0;
        let mut from = 0;
        while from < self.length {
            let rest = self.bytes.get(from..self.length).unwrap_or_default();
            let (letter, width) = if rest.starts_with("\u{17f}".as_bytes()) {
                (b's', 2)
            } else if rest.starts_with("\u{212a}".as_bytes()) {
                (b'k', 3)
            } else {
                (rest.first().copied().unwrap_or_default().to_ascii_lowercase(), 1)
            };
            if let Some(byte) = self.bytes.get_mut(folded) {
                *byte = letter;
            }
            folded += 1;
            from += width;
        }
        self.length = folded;
        self.bytes()
    }
}

impl Name {
    fn of(key: &[u8]) -> Self {
        match key {
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"stream_options" => Self::StreamOptions,
            b"include_usage" => Self::IncludeUsage,
            b"cache_salt" => Self::CacheSalt,
            b"prompt" => Self::Prompt,
            b"input" => Self::Input,
            b"instructions" => Self::Instructions,
            b"items" => Self::Items,
            b"messages" => Self::Messages,
            b"tools" => Self::Tools,
            b"documents" => Self::Documents,
            b"chat_template" => Self::ChatTemplate,
            b"chat_template_kwargs" => Self::ChatTemplateKwargs,
            b"return_assistant_tokens_mask" => Self::ReturnAssistantTokensMask,
            b"continue_final_message" => Self::ContinueFinalMessage,
            b"add_generation_prompt" => Self::AddGenerationPrompt,
            b"metadata" => Self::Metadata,
            b"n" => Self::Count,
            b"size" => Self::Size,
            b"num_inference_steps" => Self::InferenceSteps,
            b"role" => Self::Role,
            b"content" => Self::Content,
            b"tool_calls" => Self::ToolCalls,
            b"type" => Self::Type,
            b"text" => Self::Text,
            b"image_url" => Self::ImageUrl,
            b"video_url" => Self::VideoUrl,
            b"audio_url" => Self::AudioUrl,
            b"input_audio" => Self::InputAudio,
            b"url" => Self::Url,
            b"data" => Self::Data,
            b"format" => Self::Format,
            _ => Self::Unknown,
        }
    }
}
