// The field list of ModelConfig: a recipe's [model] section (base/fields.h). config.json, where
// names and nulls follow Hugging Face, is checkpoint's.
#pragma once

#include "base/fields.h"
#include "model/config.h"

namespace darkhorse {

void ListFields(RopeScaling& r, FieldList& list);
void ListFields(ModelConfig& c, FieldList& list);

}  // namespace darkhorse
