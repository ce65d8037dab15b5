#include "model/config_fields.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace darkhorse {
namespace {

// Names of the data members in config.h, in order of declaration: RopeScaling's, then
// ModelConfig's.
std::vector<std::string> DeclaredMembers() {
  std::ifstream file(DARKHORSE_SOURCE_DIR "/src/model/config.h");
  std::vector<std::string> names;
  for (std::string line; std::getline(file, line);) {
    // "  double rms_norm_eps = 1e-6;"
    std::istringstream words(line);
    std::string type, name;
    words >> type >> name;
    const bool member =
        type == "int64_t" || type == "double" || type == "bool" || type == "std::string";
    if (member && line.starts_with("  " + type) && name.find('(') == std::string::npos)
      names.push_back(name.substr(0, name.find(';')));
  }
  return names;
}

void AppendByAddress(const FieldList& list, std::vector<std::string>* names) {
  std::vector<std::pair<const void*, std::string>> members;
  for (const Field& field : list.fields()) {
    if (field.path.find('.') != std::string::npos) continue;
    const void* address =
        std::visit([](auto* value) { return static_cast<const void*>(value); }, field.value);
    members.emplace_back(address, field.path);
  }
  std::sort(members.begin(), members.end());
  for (size_t i = 0; i < members.size(); ++i) {
    EXPECT_TRUE(i == 0 || members[i].first != members[i - 1].first) << members[i].second;
    names->push_back(members[i].second);
  }
}

// Fields sorted by address are the members in order of declaration, so equal names mean that every
// member is listed, under its own name.
TEST(ConfigFields, ListsEveryMemberUnderItsOwnName) {
  ModelConfig config;
  std::vector<std::string> listed;
  AppendByAddress(FieldsOf(config.rope_scaling), &listed);
  AppendByAddress(FieldsOf(config), &listed);
  EXPECT_EQ(listed, DeclaredMembers());
  EXPECT_NE(FieldsOf(config).Find("rope_scaling.factor"), nullptr);
}

}  // namespace
}  // namespace darkhorse
