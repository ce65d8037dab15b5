// Where pretraining begins, if not at fresh weights: a checkpoint.
#pragma once

#include <string>

#include "data/shard.h"
#include "model/config.h"
#include "train/trained_model.h"

namespace darkhorse {

// The model of the checkpoint, marking the ends of documents as the shard does. Error: a damaged
// checkpoint, or one of another tokenizer than the shard's.
ModelConfig StartingConfig(const std::string& checkpoint, const ShardInfo& shard);

// Its weights, without any of its optimizer's state, into a model of that configuration.
void LoadStartingWeights(const std::string& checkpoint, TrainedModel& trained);

}  // namespace darkhorse
