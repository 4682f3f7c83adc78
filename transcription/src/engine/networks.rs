//! The networks of an engine: how each is loaded, and how a song of each begins. The one place that names them all.

use std::sync::Arc;

use serde_json::Value;

use super::device_thread::{Load, Post, Station};
use super::lane::{Lane, Shared};
use super::{EngineConfig, SongRequest, Submission, song};
use crate::basic_pitch::{self, BasicPitch, BasicPitchSong};
use crate::harmonica::{self, Harmonica, HarmonicaSong};
use crate::mt3::{self, Mt3, Mt3Song};
use crate::network::Network;
use crate::registry::Installed;
use crate::transkun::{self, Transkun, TranskunSong};
use crate::{DeviceChoice, Error, Precision};

/// A lane each. It costs nothing; its network is loaded at the first song that wants it.
pub(super) struct Networks {
    basic_pitch: Arc<Lane<BasicPitch>>,
    harmonica: Vec<(harmonica::Size, Arc<Lane<Harmonica>>)>,
    transkun: Arc<Lane<Transkun>>,
    mt3: Arc<Lane<Mt3>>,
}

impl Networks {
    pub(super) fn set_up(config: &EngineConfig, stations: &mut Stations) -> Self {
        let (rows, threads) = (config.batch_rows(), config.cpu_threads());
        let libtorch = config.libtorch;
        let models = config.models.clone();
        let basic_pitch = stations.add(
            config,
            basic_pitch::NAME,
            Box::new(move |device| {
                let installed = models.installed(basic_pitch::NAME)?;
                let model = if libtorch {
                    basic_pitch::Model::load_in_libtorch(&installed.file, device)?
                } else {
                    basic_pitch::Model::load(&installed.file, device)?
                };
                Ok(BasicPitch::new(model, rows))
            }),
        );
        let harmonica = harmonica::config::SIZES.into_iter().map(|size| {
            let models = config.models.clone();
            let load = move |device| {
                let installed = models.installed(size.model)?;
                let setup = harmonica::Setup {
                    device,
                    threads,
                    rows,
                    libtorch,
                };
                Harmonica::load(&size, &installed.file, setup)
            };
            (size, stations.add(config, size.model, Box::new(load)))
        });
        let harmonica = harmonica.collect();
        let (models, rows) = (config.models.clone(), config.transkun_rows());
        let transkun = stations.add(
            config,
            transkun::NAME,
            Box::new(move |device| {
                let installed = models.installed(transkun::NAME)?;
                let setup = transkun::Setup {
                    device,
                    threads,
                    rows,
                    libtorch,
                };
                Transkun::load(&installed.file, setup)
            }),
        );
        let models = config.models.clone();
        let mt3 = stations.add(
            config,
            mt3::NAME,
            Box::new(move |device| {
                let (weights, profile) = models.mt3()?;
                let setup = mt3::Setup {
                    device,
                    profile,
                    threads,
                    rows: None,
                    libtorch,
                };
                Mt3::new(&weights, setup)
            }),
        );
        Networks {
            basic_pitch,
            harmonica,
            transkun,
            mt3,
        }
    }

    pub(super) fn begin(
        &self,
        config: &EngineConfig,
        song: SongRequest,
    ) -> Result<Submission, Error> {
        if song.model == basic_pitch::NAME {
            let options = basic_pitch::Options::parse(&song.options)?;
            let installed = config.models.installed(basic_pitch::NAME)?;
            let provenance =
                provenance::<BasicPitch>(config, &song, basic_pitch::NAME, &options, &installed);
            let state = BasicPitchSong::new(options, song.parity);
            return Ok(song::start(&self.basic_pitch, song, state, provenance));
        }
        if song.model == transkun::NAME {
            let options = transkun::Options::parse(&song.options)?;
            let installed = config.models.installed(transkun::NAME)?;
            let provenance =
                provenance::<Transkun>(config, &song, transkun::NAME, &options, &installed);
            let state = TranskunSong::new(transkun::Shape::PUBLISHED, song.parity);
            return Ok(song::start(&self.transkun, song, state, provenance));
        }
        if song.model == mt3::NAME {
            let about = config.models.mt3_about()?;
            let options = mt3::Options {
                profile: about.profile,
                ..mt3::Options::parse(&song.options)?
            };
            let provenance =
                provenance::<Mt3>(config, &song, mt3::NAME, &options, &about.installed);
            let state = Mt3Song::new(about.shape, options, song.parity);
            return Ok(song::start(&self.mt3, song, state, provenance));
        }
        let wanted = harmonica::Size::of_model(&song.model);
        let Some((size, lane)) = self
            .harmonica
            .iter()
            .find(|(size, _)| Some(*size) == wanted)
        else {
            return Err(Error::ModelUnknown { name: song.model });
        };
        crate::registry::parse_options(size.model, &song.options)?;
        let installed = config.models.installed(size.model)?;
        let thresholds = crate::registry::thresholds(&installed.file)?;
        let options = harmonica::Options::parse(size.model, &song.options, thresholds)?;
        let provenance = provenance::<Harmonica>(config, &song, size.model, &options, &installed);
        Ok(song::start(
            lane,
            song,
            HarmonicaSong::new(options),
            provenance,
        ))
    }
}

/// What a network computes in. Its libtorch form has on a processor what it has on a GPU, but for TF32, which is the GPU's own.
fn precision<N: Network>(config: &EngineConfig) -> Precision {
    match config.device {
        DeviceChoice::Cpu if config.libtorch && config.precision == Precision::Bf16 => {
            N::precision(Precision::Bf16, DeviceChoice::Cuda(0))
        }
        device => N::precision(config.precision, device),
    }
}

fn provenance<N: Network>(
    config: &EngineConfig,
    song: &SongRequest,
    model: &str,
    options: &impl serde::Serialize,
    installed: &Installed,
) -> song::Provenance {
    song::Provenance {
        model: model.to_owned(),
        model_digest: installed.digest.clone(),
        options: serde_json::to_value(options).unwrap_or(Value::Null),
        profile: if song.parity { "parity" } else { "default" },
        device: config.device.to_string(),
        precision: precision::<N>(config),
    }
}

/// Lanes and their stations as they are set up.
#[derive(Default)]
pub(super) struct Stations {
    pub(super) shared: Arc<Shared>,
    pub(super) posts: Vec<Box<dyn Station + Send>>,
}

impl Stations {
    pub(super) fn add<N: Network + Send + 'static>(
        &mut self,
        config: &EngineConfig,
        model: &'static str,
        load: Load<N>,
    ) -> Arc<Lane<N>> {
        let lane = Lane::new(&self.shared);
        self.posts.push(Box::new(Post {
            model,
            lane: Arc::clone(&lane),
            load,
            precision: precision::<N>(config),
            network: None,
        }));
        lane
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Store;

    #[test]
    fn a_processor_has_bfloat16_in_libtorch_alone_and_where_the_network_has_it() {
        use DeviceChoice::{Cpu, Cuda};
        use Precision::{Bf16, F32, Tf32};
        for (device, libtorch, asked, harmonica, transkun) in [
            (Cpu, false, F32, F32, F32),
            (Cpu, false, Bf16, F32, F32),
            (Cpu, true, F32, F32, F32),
            (Cpu, true, Tf32, F32, F32),
            (Cpu, true, Bf16, Bf16, F32),
            (Cuda(0), false, Tf32, Tf32, Tf32),
            (Cuda(0), true, Bf16, Bf16, F32),
        ] {
            let config = EngineConfig {
                device,
                libtorch,
                precision: asked,
                ..EngineConfig::new(Store::new("nowhere"))
            };
            assert_eq!(precision::<Harmonica>(&config), harmonica, "{config:?}");
            assert_eq!(precision::<BasicPitch>(&config), harmonica, "{config:?}");
            assert_eq!(precision::<Transkun>(&config), transkun, "{config:?}");
        }
    }
}
