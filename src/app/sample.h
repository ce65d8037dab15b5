// What commands that sample from a teacher share.
#pragma once

#include "app/output.h"
#include "pipeline/rejection.h"

namespace darkhorse {

// How many answers were right and kept, and how long those are.
Json Describe(const Selection& selection);

}  // namespace darkhorse
