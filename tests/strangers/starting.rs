//! Users who stop, trace or block a child between its clone and its exec.
