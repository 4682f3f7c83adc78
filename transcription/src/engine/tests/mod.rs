//! The engine's promises, kept with networks that do what a test tells them, and with the real ones in the form whose rows share a
//! computation. Needs the weights of Basic Pitch (`make models`).

mod fairness;
mod neighbours;
mod real;
mod rig;
mod trouble;
