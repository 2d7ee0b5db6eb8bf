//! Label: what many keys have in common.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What many keys have in common: the text of their template, or a name that the user gives.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Label {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Label {
    pub(crate) const NONE: Label = Label::Static("");

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Label::Static(text) => text,
            Label::Shared(text) => text,
        }
    }
}

impl From<Cow<'static, str>> for Label {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Label::Static(text),
            Cow::Owned(text) => Label::Shared(text.into()),
        }
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
