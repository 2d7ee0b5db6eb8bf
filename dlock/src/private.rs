//! All that the macro's output calls. No part of the public contract.
