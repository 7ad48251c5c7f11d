# What is installed, as three components that are also the Debian packages: libpoise0, libpoise-dev, poise.
# Paths through GNUInstallDirs only, relative to the prefix, which may be chosen at install time.
include(CMakePackageConfigHelpers)

install(TARGETS poise EXPORT PoiseTargets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT runtime NAMELINK_COMPONENT development
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)

# The CMake package: find_package(Poise), target Poise::poise.
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Poise")
install(EXPORT PoiseTargets NAMESPACE Poise:: DESTINATION "${package_dir}" COMPONENT development)
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/PoiseConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/PoiseConfig.cmake" INSTALL_DESTINATION "${package_dir}")
# Below 1.0 a minor version may break.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/PoiseConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/PoiseConfig.cmake" "${PROJECT_BINARY_DIR}/PoiseConfigVersion.cmake"
  DESTINATION "${package_dir}" COMPONENT development)

# pkg-config: finds its prefix from where it lies.
set(pkgconfig_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH prefix_from_pc "/prefix/${pkgconfig_dir}" "/prefix")
configure_file("${CMAKE_CURRENT_LIST_DIR}/poise.pc.in" "${PROJECT_BINARY_DIR}/poise.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/poise.pc" DESTINATION "${pkgconfig_dir}" COMPONENT development)

foreach(binary poise_cli poise-aggregator poise-collector)
  if(TARGET ${binary})
    install(TARGETS ${binary} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT tools)
  endif()
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME poise)
set(CPACK_PACKAGE_VENDOR "The Poise authors")
set(CPACK_PACKAGE_CONTACT "The Poise authors <poise@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime development tools)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libpoise0)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "The client library of Poise, a streaming balanced scorecard")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libpoise-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libpoise0 (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Headers, pkg-config and CMake files of libpoise")
set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME poise)
set(CPACK_COMPONENT_TOOLS_DESCRIPTION "The aggregator, the collector and the tool of Poise")
include(CPack)
