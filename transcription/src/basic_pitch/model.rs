//! The loaded network, wherever it runs: on the CPU in kernels of our own, on a GPU in libtorch.

use std::path::Path;

use safetensors::SafeTensors;
use tch::Device;

use super::host::Host;
use super::maps::WindowMaps;
use super::on_device::OnDevice;
use crate::Error;
use crate::cpu::Isa;

pub struct Model(Body);

enum Body {
    Host(Box<Host>),
    Device(Box<OnDevice>),
}

impl Model {
    /// Loads converted weights (see `registry::convert`).
    pub fn load(file: &Path, device: Device) -> Result<Self, Error> {
        Self::with(file, |weights| {
            Ok(match device {
                Device::Cpu => Body::Host(Box::new(Host::load(weights, Isa::detect())?)),
                _ => Body::Device(Box::new(OnDevice::load(weights, device)?)),
            })
        })
    }

    /// The network in libtorch whatever the device, for comparisons.
    pub fn load_in_libtorch(file: &Path, device: Device) -> Result<Self, Error> {
        Self::with(file, |weights| {
            Ok(Body::Device(Box::new(OnDevice::load(weights, device)?)))
        })
    }

    fn with(
        file: &Path,
        body: impl FnOnce(&SafeTensors<'_>) -> Result<Body, Error>,
    ) -> Result<Self, Error> {
        let bytes = fs_err::read(file).map_err(|source| Error::Store {
            what: "cannot read the weights of basic-pitch".into(),
            source,
        })?;
        let weights = SafeTensors::deserialize(&bytes).map_err(|error| Error::ModelDamaged {
            name: super::NAME.into(),
            reason: error.to_string(),
        })?;
        body(&weights).map(Model)
    }

    /// Whether a batch is one computation, so that its size may change a row's last bits.
    pub fn is_batched(&self) -> bool {
        matches!(self.0, Body::Device(_))
    }

    /// The maps of a batch of windows of `WINDOW` samples each; `contour`: with the contour map itself.
    pub fn forward(&self, windows: &[&[f32]], contour: bool) -> Result<Vec<WindowMaps>, Error> {
        match &self.0 {
            Body::Host(host) => {
                // As many as libtorch was told to take, so that one setting serves every network.
                let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1);
                Ok(host.forward(windows, threads.max(1), contour))
            }
            Body::Device(network) => network.forward(windows, contour),
        }
    }
}
