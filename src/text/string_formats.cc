#include "text/string_formats.h"

namespace darkhorse {
namespace {

std::vector<std::pair<std::string, std::string>> Make() {
  // RFC 3339. February has its 29th in leap years.
  const std::string date =
      "(\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|"
      "02-(0[1-9]|1\\d|2[0-8]))|"
      "(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)";
  const std::string time =
      "(([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d))";
  const std::string label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
  const std::string host = label + "(\\." + label + "){0,4}";
  const std::string byte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
  const std::string some = "(\\d+Y(\\d+M(\\d+D)?)?|\\d+M(\\d+D)?|\\d+D)";
  const std::string hours = "(T(\\d+H(\\d+M(\\d+S)?)?|\\d+M(\\d+S)?|\\d+S))";
  return {{"date-time", "^" + date + "T" + time + "$"},
          {"date", "^" + date + "$"},
          {"time", "^" + time + "$"},
          {"duration", "^P(\\d+W|" + some + hours + "?|" + hours + ")$"},
          {"email", "^[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@" + host + "$"},
          {"hostname", "^" + host + "$"},
          {"ipv4", "^(" + byte + "\\.){3}" + byte + "$"},
          {"ipv6", "^([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}$"},
          {"uuid", "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"},
          {"uri", "^[A-Za-z][A-Za-z0-9+.-]*://" + host +
                      "(:\\d{1,4})?(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*"
                      "(\\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?$"}};
}

}  // namespace

const std::vector<std::pair<std::string, std::string>>& StringFormats() {
  static const std::vector<std::pair<std::string, std::string>> formats = Make();
  return formats;
}

}  // namespace darkhorse
