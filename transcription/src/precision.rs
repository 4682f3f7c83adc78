//! In how many bits a process computes. A choice of the whole process: libtorch keeps it in one place for all threads.

use std::str::FromStr;

use crate::DeviceChoice;

/// What the networks' sums and products are made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// float32 throughout: the only one that reproduces the reference.
    #[default]
    F32,
    /// float32 whose products take 10 bits of the fraction, on a GPU.
    Tf32,
    /// Products and sums of layers in bfloat16.
    Bf16,
}

impl Precision {
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        }
    }

    /// For a network that has no bfloat16 form: TF32 is the device's own doing, and processors have none.
    pub fn without_bf16(self, device: DeviceChoice) -> Precision {
        match (self, device) {
            (Precision::Tf32, DeviceChoice::Cuda(_)) => Precision::Tf32,
            _ => Precision::F32,
        }
    }

    /// For a network whose libtorch form may run under autocast, and which has another form for the CPU.
    pub fn on_gpu(self, device: DeviceChoice) -> Precision {
        match device {
            DeviceChoice::Cuda(_) => self,
            DeviceChoice::Cpu => Precision::F32,
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Precision::F32, Precision::Tf32, Precision::Bf16]
            .into_iter()
            .find(|precision| precision.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no precision; write f32, tf32 or bf16"))
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Precision;
    use crate::DeviceChoice;

    #[test]
    fn a_precision_is_named_as_it_is_written_and_only_kept_where_it_exists() {
        for text in ["f32", "tf32", "bf16"] {
            assert_eq!(text.parse::<Precision>().map(Precision::as_str), Ok(text));
        }
        assert!("fp16".parse::<Precision>().is_err());
        let gpu = DeviceChoice::Cuda(0);
        assert_eq!(Precision::Tf32.without_bf16(gpu), Precision::Tf32);
        assert_eq!(Precision::Bf16.without_bf16(gpu), Precision::F32);
        assert_eq!(Precision::Bf16.on_gpu(gpu), Precision::Bf16);
        for asked in [Precision::Tf32, Precision::Bf16] {
            assert_eq!(asked.without_bf16(DeviceChoice::Cpu), Precision::F32);
            assert_eq!(asked.on_gpu(DeviceChoice::Cpu), Precision::F32);
        }
    }
}
