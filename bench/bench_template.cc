// Rendering of chat templates.
//   bench_template time TEMPLATE MESSAGES.json   renderings a second, median of 5 runs
//   bench_template render                        for tools/template_compare.py: on each line of
//       stdin a JSON object of a template and what it is given; on stdout, for each, the text or
//       the error
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "text/chat_template.h"

namespace darkhorse {
namespace {

using nlohmann::ordered_json;

ordered_json Answer(const ordered_json& request) {
  try {
    ChatOptions options;
    options.tools = request.value("tools", ordered_json());
    options.documents = request.value("documents", ordered_json());
    options.variables = request.value("variables", ordered_json());
    options.bos_token = request.value("bos_token", "");
    options.eos_token = request.value("eos_token", "");
    options.add_generation_prompt = request.value("add_generation_prompt", false);
    options.continue_final_message = request.value("continue_final_message", false);
    if (request.contains("now")) {  // seconds since 1970, told as UTC
      const std::time_t seconds = request["now"].get<std::time_t>();
      std::tm now{};
      gmtime_r(&seconds, &now);
      options.now = now;
    }
    const auto chat = ChatTemplate::Parse(request["template"].get<std::string>(), "template");
    return {{"text", chat.Render(request["messages"], options).bytes()}};
  } catch (const Error& error) {
    return {{"error", error.what()}};
  }
}

void Render() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << Answer(ordered_json::parse(line)).dump() << "\n" << std::flush;
  }
}

void Time(const char* template_path, const char* messages_path) {
  const std::string source = ReadFile(template_path);
  const auto messages = ordered_json::parse(ReadFile(messages_path));
  const auto chat = ChatTemplate::Parse(source, template_path);
  std::vector<double> speeds;
  for (int run = 0; run < 5; ++run) {
    const double start = SteadySeconds();
    int count = 0;
    while (SteadySeconds() - start < 0.2) {
      chat.Render(messages);
      ++count;
    }
    speeds.push_back(count / (SteadySeconds() - start));
  }
  std::sort(speeds.begin(), speeds.end());
  std::printf("%.0f renderings a second\n", speeds[2]);
}

}  // namespace
}  // namespace darkhorse

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "render") == 0) {
    darkhorse::Render();
  } else if (argc == 4 && std::strcmp(argv[1], "time") == 0) {
    darkhorse::Time(argv[2], argv[3]);
  } else {
    std::fprintf(stderr, "usage: bench_template time TEMPLATE MESSAGES.json | render\n");
    return 2;
  }
  return 0;
}
